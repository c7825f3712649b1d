import VQTensor

/// Learned step size quantization (Esser et al., "Learned Step Size Quantization", 2020):
/// `round(clip(x / s, n, p)) s`, with n = -2^(b-1) and p = 2^(b-1) - 1, or 0 and 2^b - 1 without a
/// sign.
///
/// s starts at `2 mean|x| / sqrt(p)` of the first weights or training batch; its gradient
/// (`LearnedStep`) is scaled by `1 / sqrt(N p)`, N the number of weights, or of features of one
/// sample.
public final class LSQ: LearnedStep {
  /// What is quantized, and so what N counts.
  public enum Values: Equatable, Sendable {
    /// All elements of a tensor of any shape.
    case weights
    /// The elements of one sample of [samples, ...].
    case activations
  }

  public let values: Values

  override var name: String { "lsq" }

  /// - Parameters:
  ///   - bits: from 1 to 16, from 2 with a sign.
  ///   - isSigned: weights are and activations are not unless it is given.
  public init(bits: Int, values: Values = .weights, isSigned: Bool? = nil) throws {
    self.values = values
    try super.init(
      "lsq", bits: bits, isSigned: isSigned ?? (values == .weights), hasOffset: false)
  }

  override func features(of x: Tensor) -> Int {
    values == .weights ? x.count : super.features(of: x)
  }

  override func start(of x: Tensor, offset: Float?) throws -> (step: Float, offset: Float) {
    let magnitude = Double(try x.abs().mean().item())
    let step = Float(2 * magnitude / Double(levels.highest).squareRoot())
    guard step.isFinite else {
      throw VQError.value(
        name, "mean(|x|)", "\(magnitude)", "the step starts from it: it must fit in float32")
    }
    return (step < .leastNormalMagnitude ? 0 : step, 0)
  }
}
