import VQKernels
import VQNN
import VQTensor

/// Parameterized clipping activation (Choi et al., "PACT: Parameterized Clipping Activation for
/// Quantized Neural Networks", 2018): `y = clip(x, 0, c)` in L = 2^bits - 1 steps,
/// `round(y L / c) c / L`.
///
/// Gradients: `dx = g` for 0 <= x < c, else 0; `dc = sum of g where x >= c`. The clip c decays as
/// weights do. A clip that an update left at 0 or below starts anew at its first value.
public final class PACT: Module {
  public let bits: Int
  /// c, a scalar.
  public let clip: Tensor
  private let start: Float
  private let levels: StepLevels

  /// - Parameters:
  ///   - bits: from 1 to 16.
  ///   - clip: c at the start, positive and finite.
  public init(bits: Int, clip: Float = 6) throws {
    levels = try StepLevels("pact", bits: bits, isSigned: false)
    guard clip > 0, clip.isFinite else {
      throw VQError.value("pact", "clip", "\(clip)", "must be positive and finite")
    }
    self.bits = bits
    start = clip
    self.clip = try Tensor(scalar: clip).requiringGrad(.weight)
    super.init()
    self.clip.observeWrites { [weak self] write in
      guard case .assigned = write, let self else { return }
      _ = try self.clip.positive("pact", "clip", "must be positive and finite")
    }
  }

  public override var ownParameters: [NamedTensor] { [("clip", clip)] }

  private func positiveClip(_ operation: String) throws -> Float {
    guard try clip.item() < .leastNormalMagnitude else {
      return try clip.positive(operation, "clip")
    }
    if isTraining {
      clip.mutate { $0[0] = start }
      clip.leaf?.announce(rows: [0])
    }
    return start
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    let operation = "pact"
    try x.requireQuantizable(operation, isTraining: isTraining)
    let bound = try positiveClip(operation)
    let highest = Float(levels.highest)
    let grid = StepGrid(step: bound / highest, lowest: 0, highest: highest)
    let saved = Saved(x)
    return try Tensor(operation, shape: x.shape) { out in
      x.read { quantizeSteps($0, grid, out, count: x.count) }
    }.recorded(operation, inputs: [x, clip]) { gradient, needs in
      let x = try saved.tensor(operation)
      var inClip = 0.0
      let inX = try Tensor(operation, shape: x.shape) { out in
        x.read { x in
          gradient.read {
            inClip = clipGradient(x, $0, bound: bound, out, count: gradient.count)
          }
        }
      }
      return [needs[0] ? inX : nil, needs[1] ? try Tensor(scalar: Float(inClip)) : nil]
    }
  }
}
