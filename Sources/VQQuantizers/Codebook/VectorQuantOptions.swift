import VQNN
import VQTensor

/// How vectors, or the rows of a codebook, are normalized before they are compared.
public enum VectorNorm: Int32, Sendable, OptionChoice {
  case none = 0
  /// To unit length; a zero vector stays zero.
  case l2 = 1
  /// To a length of at most `maximumNorm`.
  case l2c = 2
  /// Each channel to mean 0 and variance 1 over the batch, or over the codebook.
  case batch = 3
  /// Each of `normGroups` groups of channels of a vector to mean 0 and variance 1.
  case group = 4
  /// Each channel to mean 0 and variance 1 over the positions of its sample, or over the codebook.
  case instance = 5

  public var optionName: String { ["none", "l2", "l2c", "bn", "gn", "in"][Int(rawValue)] }
}

/// How a codebook begins.
public enum CodebookStart: Int32, Sendable, OptionChoice {
  /// N(0, 1).
  case normal = 0
  /// N(0, 2 / d) (He et al. 2015).
  case kaiming = 1
  /// Uniform in +-1/k.
  case uniform = 2
  /// k-means of the first training vectors.
  case kMeans = 3
  /// The seeds of k-means++ among the first training vectors.
  case plusPlus = 4

  public var optionName: String {
    ["normal", "kaiming", "uniform", "kmeans", "kmeans++"][Int(rawValue)]
  }

  var needsVectors: Bool { self == .kMeans || self == .plusPlus }
}

/// Where the affine map `E = scale C + bias` comes from.
public enum AffineForm: Int32, Sendable, OptionChoice {
  /// `(1 + lr s) C + lr b` with s and b learned; lr = 0 is the identity.
  case learned = 0
  /// The moments of the codebook moved to those of the vectors (eq. 40-45).
  case ema = 1

  public var optionName: String { self == .learned ? "learned" : "ema" }
}

/// How the gradient of a quantizer's output reaches the vectors.
public enum OutputGradient: Int32, Sendable, OptionChoice {
  /// Unchanged.
  case straightThrough = 0
  /// Rotated and scaled from the code to the vector (Fifty et al. 2024).
  case rotation = 1
  /// Through `z + |z_q - z| sg(unit(z_q - z + noise))` (DiVeQ), which trains the codebook too.
  case directional = 2

  public var optionName: String { ["ste", "rotation", "directional"][Int(rawValue)] }
}

/// The options of a `VectorQuant`, and of the stages or groups of `ResidualVectorQuant` and
/// `GroupVectorQuant`.
public struct VectorQuantOptions: Sendable {
  /// Elements of a vector, d.
  public var featureSize: Int
  /// Codes in the codebook, k.
  public var codeCount: Int
  /// Elements of a code; other than d, vectors are projected to it and back. nil for d.
  public var codeSize: Int?
  /// Weight of the codebook's side of the commitment loss; the encoder's is 1 - beta.
  public var beta: Float = 0.95
  /// Rate nu of the synchronized update: the codebook gains nu times the gradient of the output.
  public var syncNu: Float = 0
  public var gradient = OutputGradient.straightThrough
  /// Variance v of the noise of the directional gradient.
  public var directionalVariance: Float = 5e-3
  public var affine = AffineForm.learned
  /// Rate lr of the learned affine map; 0 for none.
  public var affineLearningRate: Float = 0
  /// Weight m of a batch in the running moments.
  public var affineMomentum: Float = 0.1
  /// Contiguous groups of codes, each with its own affine map.
  public var affineGroups = 1
  /// Decay of the counts and sums of an EMA codebook; 0 for a codebook that gradients train.
  public var emaDecay: Float = 0
  /// Laplace smoothing of the counts of an EMA codebook.
  public var emaEpsilon: Float = 1e-5
  /// Whether an EMA codebook waits for `update`, as gradient accumulation wants.
  public var emaManual = false
  /// Whether C is frozen and `E = C W` with W learned (SimVQ, Zhu et al. 2024).
  public var isSimVQ = false
  /// Training forwards after which an unused code is replaced; 0 for never.
  public var replaceFrequency = 0
  public var start = CodebookStart.normal
  /// Training forwards from one k-means of the codebook to the next; 0 for never.
  public var kMeansFrequency = 0
  /// Norm of the vectors; the output is then in the normalized space.
  public var norm = VectorNorm.none
  /// Norm of the effective codebook.
  public var codebookNorm = VectorNorm.none
  /// The length that `.l2c` allows.
  public var maximumNorm: Float = 10
  /// Groups of channels of `.group`.
  public var normGroups = 4
  /// tau of stochastic codes in training, `p_j ~ exp(-d_j / tau)` (eq. 12); 0 for nearest codes.
  public var temperature: Float = 0
  /// Factor of tau after each training forward.
  public var temperatureDecay: Float = 1
  /// The least tau.
  public var temperatureMinimum: Float = 0
  /// Weight of `mean (E^ E^T - I)^2` in the loss, E^ the unit rows.
  public var orthogonalWeight: Float = 0
  /// Weight of the mean entropy of `p = softmax(-d / tau)` less the entropy of its mean.
  public var entropyWeight: Float = 0
  /// tau of the entropy's softmax.
  public var entropyTemperature: Float = 1
  /// Parts of the batch that each make one step of the in-place optimizer.
  public var innerSteps = 1
  /// Training forwards for every one that makes in-place steps.
  public var outerSteps = 1
  /// Whether codes are looked up again after in-place steps.
  public var reassign = false
  /// Seed of the initial codebook and every later draw.
  public var seed: UInt64 = 0
  /// Stream of the draws: layers of one seed differ by it.
  public var stream: UInt64 = 0

  public init(featureSize: Int, codeCount: Int) {
    self.featureSize = featureSize
    self.codeCount = codeCount
  }

  /// The same options without `norm` and what goes with it alone.
  var withoutNorm: Self {
    let start = Self.table.start
    var own = self
    own.norm = .none
    if codebookNorm != .l2c { own.maximumNorm = start.maximumNorm }
    if codebookNorm != .group { own.normGroups = start.normGroups }
    return own
  }

  /// Elements of a code.
  var width: Int { codeSize ?? featureSize }
  var isEMA: Bool { emaDecay > 0 }
  /// How much of the output's gradient reaches the codebook.
  var valueRate: Float { gradient == .directional ? 1 : syncNu }
}

// MARK: - By name

extension VectorQuantOptions {
  public static let table = OptionTable(VectorQuantOptions(featureSize: 0, codeCount: 0)) {
    Option("feature_size", \.featureSize, .size, isRequired: true)
    Option("num_codes", \.codeCount, .size, isRequired: true)
    Option("code_size", \.codeSize, OptionRule("must be at least 1") { $0 ?? 1 >= 1 })
    Option("beta", \.beta, .fraction)
    Option("sync_nu", \.syncNu, .atLeastZero)
    Option("gradient", \.gradient)
    Option("directional_variance", \.directionalVariance, .atLeastZero)
      .needing("gradient = directional") { $0.gradient == .directional }
    Option("affine", \.affine)
    Option("affine_lr", \.affineLearningRate, .atLeastZero)
    Option("affine_momentum", \.affineMomentum, .share)
      .needing("affine = ema") { $0.affine == .ema }
    Option("affine_groups", \.affineGroups)
      .needing("an affine map: affine_lr above 0, or affine = ema") {
        $0.affine == .ema || $0.affineLearningRate > 0
      }
    Option("ema_decay", \.emaDecay, .belowOne)
    Option("ema_epsilon", \.emaEpsilon, .atLeastZero).needing(emaCodebook, \.isEMA)
    Option("ema_manual", \.emaManual).needing(emaCodebook, \.isEMA)
    Option("simvq", \.isSimVQ)
    Option("replace_freq", \.replaceFrequency, .atLeast(0))
    Option("init", \.start)
    Option(
      "kmeans_freq", \.kMeansFrequency,
      OptionRule("must be at least 0 and fit in int32") { $0 >= 0 && $0 < largest })
    Option("norm", \.norm)
    Option("cb_norm", \.codebookNorm)
    Option("max_norm", \.maximumNorm, .aboveZero)
      .needing("norm or cb_norm = l2c") { $0.norm == .l2c || $0.codebookNorm == .l2c }
    Option("norm_groups", \.normGroups)
      .needing("norm or cb_norm = gn") { $0.norm == .group || $0.codebookNorm == .group }
    Option("temperature", \.temperature, .atLeastZero)
    Option("temperature_decay", \.temperatureDecay, .share)
      .needing("temperature above 0") { $0.temperature > 0 }
    Option("temperature_min", \.temperatureMinimum, .atLeastZero)
      .needing("temperature above 0") { $0.temperature > 0 }
    Option("orthogonal_weight", \.orthogonalWeight, .atLeastZero)
    Option("entropy_weight", \.entropyWeight, .atLeastZero)
    Option("entropy_temperature", \.entropyTemperature, .aboveZero)
      .needing("entropy_weight above 0") { $0.entropyWeight > 0 }
    Option("inner_steps", \.innerSteps, .atLeast(1))
    Option(
      "outer_steps", \.outerSteps,
      OptionRule("must be at least 1 and fit in int32") { $0 >= 1 && $0 <= largest })
    Option("reassign", \.reassign)
    Option("seed", \.seed)
    Option("stream", \.stream)
  } agree: {
    try $0.agree($1)
  }

  private static let largest = Int(Int32.max)
  private static let emaCodebook = "an EMA codebook: ema_decay above 0"

  func check(_ operation: String) throws { try Self.table.check(self, operation) }

  private func agree(_ operation: String) throws {
    func require(_ holds: Bool, _ name: String, _ value: Int, _ rule: String) throws {
      if !holds { throw VQError.value(operation, name, "\(value)", rule) }
    }
    guard max(featureSize, codeCount, width) <= Self.largest else {
      throw VQError.overflow(operation, [codeCount, max(featureSize, width)])
    }
    try require(
      affineGroups >= 1 && codeCount % max(affineGroups, 1) == 0, "affine_groups", affineGroups,
      "must be at least 1 and divide num_codes = \(codeCount)")
    if norm == .group || codebookNorm == .group {
      try require(
        normGroups >= 1 && width % max(normGroups, 1) == 0, "norm_groups", normGroups,
        "must be at least 1 and divide the \(width) elements of a code")
    }
    try checkPairs(operation)
  }

  /// Refuses pairs of options that contradict each other.
  private func checkPairs(_ operation: String) throws {
    func refuse(_ isBoth: Bool, _ name: String, _ value: Any, _ why: String) throws {
      if isBoth { throw VQError.value(operation, name, "\(value)", why) }
    }
    let moments = affine == .ema
    try refuse(
      moments && affineLearningRate > 0, "affine_lr", affineLearningRate,
      "affine = ema learns nothing: it must be 0")
    try refuse(
      moments && codeCount / affineGroups < 2, "affine_groups", affineGroups,
      "affine = ema needs at least two codes in a group to have a variance")
    try refuse(
      isEMA && syncNu > 0, "sync_nu", syncNu,
      "no optimizer takes the gradient of an EMA codebook: one of sync_nu and ema_decay must be 0")
    try refuse(
      isEMA && gradient == .directional, "ema_decay", emaDecay,
      "the directional gradient trains the codebook itself: it must be 0")
    try refuse(
      isEMA && orthogonalWeight > 0, "orthogonal_weight", orthogonalWeight,
      "no gradient reaches an EMA codebook: it must be 0")
    try refuse(
      gradient == .directional && syncNu > 0, "sync_nu", syncNu,
      "the directional gradient already reaches the codebook: it must be 0")
    try refuse(
      isSimVQ && isEMA, "ema_decay", emaDecay, "SimVQ freezes the codebook: it must be 0")
    try refuse(
      isSimVQ && (moments || affineLearningRate > 0), "affine", moments ? "ema" : "learned",
      "the linear map of SimVQ takes its place: one of them must be off")
    try refuse(
      temperature > 0 && temperatureMinimum > temperature, "temperature_min", temperatureMinimum,
      "must be at most temperature = \(temperature)")
  }
}
