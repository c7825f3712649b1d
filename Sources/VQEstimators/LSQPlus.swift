import VQTensor

/// LSQ with a learned offset, for activations (Bhalgat et al., "LSQ+: Improving low-bit
/// quantization through learnable offsets and better initialization", 2020):
/// `round(clip((x - o) / s, n, p)) s + o` of x [samples, ...], with n = 0 and p = 2^b - 1, or
/// -2^(b-1) and 2^(b-1) - 1 with a sign.
///
/// The grid starts on the range of the first training batch: `s = (max - min) / (p - n)`,
/// `o = min - n s`. The gradients of s and o (`LearnedStep`) are scaled by `1 / sqrt(N p)`, N the
/// features of one sample.
public final class LSQPlus: LearnedStep {
  override var name: String { "lsq_plus" }

  /// - Parameter bits: from 1 to 16, from 2 with a sign.
  public init(bits: Int, isSigned: Bool = false) throws {
    try super.init("lsq_plus", bits: bits, isSigned: isSigned, hasOffset: true)
  }

  /// A constant batch gives no step, and itself as the offset.
  override func start(of x: Tensor, offset: Float?) throws -> (step: Float, offset: Float) {
    let (least, most) = (Double(try x.min().item()), Double(try x.max().item()))
    let (n, p) = (Double(levels.lowest), Double(levels.highest))
    var step = (most - least) / (p - n)
    if let offset {
      step = max((most - Double(offset)) / p, n < 0 ? (least - Double(offset)) / n : 0)
    }
    guard Float(step).isFinite else {
      throw VQError.value(
        name, "max(x) - min(x)", "\(most - least)",
        "the step starts from it: it must fit in float32")
    }
    guard Float(step) >= .leastNormalMagnitude else { return (0, offset ?? Float(least)) }
    return (Float(step), offset ?? Float(least - n * step))
  }
}
