import VQTensor

/// LSQ with a learned offset, for activations (Bhalgat et al., "LSQ+: Improving low-bit quantization through
/// learnable offsets and better initialization", 2020): `round(clip((x - o) / s, n, p)) s + o` of
/// x [samples, ...], with n = 0 and p = 2^b - 1, or -2^(b-1) and 2^(b-1) - 1 with a sign.
///
/// The grid starts on the range of the first training batch: `s = (max - min) / (p - n)`, `o = min - n s`. The
/// gradients of s and o (`LearnedStep`) are scaled by `1 / sqrt(N p)`, N the features of one sample.
public final class LSQPlus: LearnedStep {
  override var name: String { "lsq_plus" }

  /// - Parameter bits: from 1 to 16, from 2 with a sign.
  public init(bits: Int, isSigned: Bool = false) throws {
    try super.init("lsq_plus", bits: bits, isSigned: isSigned, hasOffset: true)
  }

  override func start(of x: Tensor) throws -> (step: Float, offset: Float) {
    let (least, most) = (Double(try x.min().item()), Double(try x.max().item()))
    let step = (most - least) / Double(levels.highest - levels.lowest)
    guard Float(step) > 0, step.isFinite, Float(step).isFinite else {
      throw VQError.value(
        name, "max(x) - min(x)", "\(most - least)",
        "the step starts from it: the first batch needs elements that differ")
    }
    return (Float(step), Float(least - Double(levels.lowest) * step))
  }
}
