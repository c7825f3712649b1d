import VQTensor

/// How vectors, or the rows of a codebook, are normalized before they are compared.
public enum VectorNorm: Int32 {
  case none = 0
  /// To unit length; a zero vector stays zero.
  case l2 = 1
}

/// The options of a `VectorQuant`.
public struct VectorQuantOptions {
  /// Elements of a vector, d.
  public var featureSize: Int
  /// Codes in the codebook, k.
  public var codeCount: Int
  /// Weight of the codebook's side of the commitment loss; the encoder's is 1 - beta.
  public var beta: Float = 0.95
  /// Rate nu of the synchronized update: the codebook gains nu times the gradient of the output.
  public var syncNu: Float = 0
  /// Rate lr of the learned affine map `E = (1 + lr s) C + lr b`; 0 for none.
  public var affineLearningRate: Float = 0
  /// Contiguous groups of codes, each with its own affine map.
  public var affineGroups = 1
  /// Training forwards after which an unused code is replaced; 0 for never.
  public var replaceFrequency = 0
  /// Whether the first training forward sets the codebook by k-means.
  public var kMeansInit = false
  /// Norm of the vectors; the output is then in the normalized space.
  public var norm = VectorNorm.none
  /// Norm of the effective codebook.
  public var codebookNorm = VectorNorm.none
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

  func check(_ operation: String) throws {
    func require(_ holds: Bool, _ name: String, _ value: Any, _ rule: String) throws {
      if !holds { throw VQError.value(operation, name, "\(value)", rule) }
    }
    let largest = Int(Int32.max)
    try require(featureSize >= 1, "feature_size", featureSize, "must be at least 1")
    try require(codeCount >= 1, "num_codes", codeCount, "must be at least 1")
    guard featureSize <= largest, codeCount <= largest else {
      throw VQError.overflow(operation, [codeCount, featureSize])
    }
    try require(beta >= 0 && beta <= 1, "beta", beta, "must be in 0...1")
    let rate = "must be finite and at least 0"
    try require(syncNu.isFinite && syncNu >= 0, "sync_nu", syncNu, rate)
    try require(
      affineLearningRate.isFinite && affineLearningRate >= 0, "affine_lr", affineLearningRate, rate)
    try require(
      affineGroups >= 1 && codeCount % max(affineGroups, 1) == 0, "affine_groups", affineGroups,
      "must be at least 1 and divide num_codes = \(codeCount)")
    try require(replaceFrequency >= 0, "replace_freq", replaceFrequency, "must be at least 0")
    try require(innerSteps >= 1, "inner_steps", innerSteps, "must be at least 1")
    try require(
      outerSteps >= 1 && outerSteps <= largest, "outer_steps", outerSteps,
      "must be at least 1 and fit in int32")
  }
}
