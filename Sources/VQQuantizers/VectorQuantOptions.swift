import VQTensor

/// How vectors, or the rows of a codebook, are normalized before they are compared.
public enum VectorNorm: Int32, Sendable, CustomStringConvertible {
  case none = 0
  /// To unit length; a zero vector stays zero.
  case l2 = 1
  /// To a length of at most `maximumNorm`.
  case clamped = 2
  /// Each channel to mean 0 and variance 1 over the batch, or over the codebook.
  case batch = 3
  /// Each of `normGroups` groups of channels of a vector to mean 0 and variance 1.
  case group = 4
  /// Each channel to mean 0 and variance 1 over the positions of its sample, or over the codebook.
  case instance = 5

  /// The option's value in Python.
  public var description: String { ["none", "l2", "l2c", "bn", "gn", "in"][Int(rawValue)] }
}

/// How a codebook begins.
public enum CodebookStart: Int32, Sendable {
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

  var needsVectors: Bool { self == .kMeans || self == .plusPlus }
}

/// Where the affine map `E = scale C + bias` comes from.
public enum AffineForm: Int32, Sendable {
  /// `(1 + lr s) C + lr b` with s and b learned; lr = 0 is the identity.
  case learned = 0
  /// The moments of the codebook moved to those of the vectors (eq. 40-45).
  case moments = 1
}

/// How the gradient of a quantizer's output reaches the vectors.
public enum OutputGradient: Int32, Sendable {
  /// Unchanged.
  case straightThrough = 0
  /// Rotated and scaled from the code to the vector (Fifty et al. 2024).
  case rotation = 1
  /// Through `z + |z_q - z| sg(unit(z_q - z + noise))` (DiVeQ), which trains the codebook too.
  case directional = 2
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
  /// Whether an EMA codebook waits for `updateCodebook`, as gradient accumulation wants.
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
  /// The length that `.clamped` allows.
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

  /// Elements of a code.
  var width: Int { codeSize ?? featureSize }
  var isEMA: Bool { emaDecay > 0 }
  /// How much of the output's gradient reaches the codebook.
  var valueRate: Float { gradient == .directional ? 1 : syncNu }
}

// MARK: - Checks

extension VectorQuantOptions {
  func check(_ operation: String) throws {
    func require(_ holds: Bool, _ name: String, _ value: Any, _ rule: String) throws {
      if !holds { throw VQError.value(operation, name, "\(value)", rule) }
    }
    func require(rate: Float, _ name: String) throws {
      try require(rate.isFinite && rate >= 0, name, rate, "must be finite and at least 0")
    }
    let largest = Int(Int32.max)
    try require(featureSize >= 1, "feature_size", featureSize, "must be at least 1")
    try require(codeCount >= 1, "num_codes", codeCount, "must be at least 1")
    try require(width >= 1, "code_size", width, "must be at least 1")
    guard featureSize <= largest, codeCount <= largest, width <= largest else {
      throw VQError.overflow(operation, [codeCount, max(featureSize, width)])
    }
    try require(beta >= 0 && beta <= 1, "beta", beta, "must be in 0...1")
    try require(rate: syncNu, "sync_nu")
    try require(rate: directionalVariance, "directional_variance")
    try require(rate: affineLearningRate, "affine_lr")
    try require(
      affineMomentum > 0 && affineMomentum <= 1, "affine_momentum", affineMomentum,
      "must be above 0 and at most 1")
    try require(
      affineGroups >= 1 && codeCount % max(affineGroups, 1) == 0, "affine_groups", affineGroups,
      "must be at least 1 and divide num_codes = \(codeCount)")
    try require(emaDecay >= 0 && emaDecay < 1, "ema_decay", emaDecay, "must be in 0..<1")
    try require(rate: emaEpsilon, "ema_epsilon")
    try require(replaceFrequency >= 0, "replace_freq", replaceFrequency, "must be at least 0")
    try require(
      kMeansFrequency >= 0 && kMeansFrequency < largest, "kmeans_freq", kMeansFrequency,
      "must be at least 0 and fit in int32")
    try require(
      maximumNorm > 0 && maximumNorm.isFinite, "max_norm", maximumNorm,
      "must be finite and above 0")
    if norm == .group || codebookNorm == .group {
      try require(
        normGroups >= 1 && width % max(normGroups, 1) == 0, "norm_groups", normGroups,
        "must be at least 1 and divide the \(width) elements of a code")
    }
    try require(rate: temperature, "temperature")
    try require(
      temperatureDecay > 0 && temperatureDecay <= 1, "temperature_decay", temperatureDecay,
      "must be above 0 and at most 1")
    try require(rate: temperatureMinimum, "temperature_min")
    try require(rate: orthogonalWeight, "orthogonal_weight")
    try require(rate: entropyWeight, "entropy_weight")
    try require(
      entropyTemperature > 0 && entropyTemperature.isFinite, "entropy_temperature",
      entropyTemperature, "must be finite and above 0")
    try require(innerSteps >= 1, "inner_steps", innerSteps, "must be at least 1")
    try require(
      outerSteps >= 1 && outerSteps <= largest, "outer_steps", outerSteps,
      "must be at least 1 and fit in int32")
    try checkPairs(operation)
  }

  /// Refuses pairs of options that contradict each other.
  private func checkPairs(_ operation: String) throws {
    func refuse(_ isBoth: Bool, _ name: String, _ value: Any, _ why: String) throws {
      if isBoth { throw VQError.value(operation, name, "\(value)", why) }
    }
    let moments = affine == .moments
    try refuse(
      moments && affineLearningRate > 0, "affine_lr", affineLearningRate,
      "affine by moments learns nothing: it must be 0")
    try refuse(
      moments && codeCount / affineGroups < 2, "affine_groups", affineGroups,
      "affine by moments needs at least two codes in a group to have a variance")
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
      emaManual && !isEMA, "ema_manual", emaManual, "it needs an EMA codebook: ema_decay above 0")
    try refuse(
      temperature > 0 && temperatureMinimum > temperature, "temperature_min", temperatureMinimum,
      "must be at most temperature = \(temperature)")
  }
}
