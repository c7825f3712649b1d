import VQTensor

/// What the variance of a Gaussian quantizer depends on beside its learned part: the types I to IV.
public enum VarianceKind: Int32, OptionChoice {
  /// Nothing.
  case shared = 1
  /// The mean of the log variance over a sample's vectors and elements.
  case sample = 2
  /// The mean over a vector's elements.
  case vector = 3
  /// The element's own.
  case element = 4

  public var optionName: String { ["I", "II", "III", "IV"][Int(rawValue) - 1] }
}

/// The options of a `SQVAEQuant`.
public struct SQVAEQuantOptions {
  /// Elements of a vector, d.
  public var featureSize: Int
  /// Codes in the codebook, k.
  public var codeCount: Int
  public var kind = VarianceKind.shared
  /// e^s at the start; the paper takes 20 for color images and 10 for gray ones.
  public var initialVariance: Float = 20
  /// The paper anneals by `exp(-1e-5)` a step.
  public var schedule = {
    var schedule = GumbelSchedule()
    schedule.decay = 0.99999
    return schedule
  }()
  /// Seed of the initial codebook and of the noise.
  public var seed: UInt64 = 0
  /// Stream of the draws: layers of one seed differ by it.
  public var stream: UInt64 = 0

  public init(featureSize: Int, codeCount: Int) {
    self.featureSize = featureSize
    self.codeCount = codeCount
  }

  public static let table = GumbelSchedule.table.extended(
    SQVAEQuantOptions(featureSize: 0, codeCount: 0), at: \.schedule
  ) {
    Option("feature_size", \.featureSize, .size, isRequired: true)
    Option("num_codes", \.codeCount, .size, isRequired: true)
    Option("kind", \.kind)
    Option("initial_variance", \.initialVariance, .aboveZero)
    Option("seed", \.seed)
    Option("stream", \.stream)
  }

  func check(_ operation: String) throws {
    try Self.table.check(self, operation)
    try requireInt32(operation, [featureSize, codeCount])
  }
}
