import VQKernels
import VQNN
import VQTensor

/// A quantizer whose step, and offset if it has one, are learned and start from the first training
/// batch, unless they were given before. A batch that gives no start, of zeros say, leaves it to
/// the next; a step that an update left at 0 or below starts anew.
///
/// `out = round(clip((x - o) / s, n, p)) s + o`. With v = (x - o) / s, gradients for n < v < p:
/// `dx = g`, `ds = sum g (round(v) - v)`; elsewhere 0, `ds = sum g n` or `sum g p`, and
/// `do = sum g`; ds and do are multiplied by `1 / sqrt(N p)`.
public class LearnedStep: Module {
  public let bits: Int
  public let isSigned: Bool
  /// s, a scalar.
  public let step: Tensor
  /// o, a scalar; nil for a grid through 0.
  public let offset: Tensor?
  /// 1 once the step has its start, int32.
  let initialized: Tensor
  let levels: StepLevels

  /// Its name in messages.
  var name: String { "learned_step" }

  init(_ name: String, bits: Int, isSigned: Bool, hasOffset: Bool) throws {
    levels = try StepLevels(name, bits: bits, isSigned: isSigned)
    self.bits = bits
    self.isSigned = isSigned
    step = try Tensor(scalar: 1).requiringGrad(.norm)
    offset = hasOffset ? try Tensor(scalar: 0).requiringGrad(.norm) : nil
    initialized = try Tensor(codes: [0], shape: [])
    super.init()
    step.observeWrites { [weak self] in try self?.stepWasWritten($0) }
  }

  private func stepWasWritten(_ write: TensorWrite) throws {
    switch write {
    case .assigned: _ = try step.positive(name, "step", "must be positive and finite")
    case .loaded: return
    case .stepped: break
    }
    initialized.mutateCodes { $0[0] = 1 }
  }

  public override func stateDidLoad(_ names: Set<String>) throws {
    if names.contains("step"), !names.contains("initialized") {
      initialized.mutateCodes { $0[0] = 1 }
    }
  }

  public override var ownParameters: [NamedTensor] {
    [("step", step)] + (offset.map { [("offset", $0)] } ?? [])
  }

  public override var ownBuffers: [NamedTensor] { [("initialized", initialized)] }

  public override var ownStateRules: [(name: String, rule: OptionRule<Float>)] {
    [("initialized", .zeroOrOne)]
  }

  /// Step and offset that the first batch `x`, not empty, gives; a step of 0 where it gives none.
  ///
  /// - Parameter offset: one that was given already, nil for none.
  func start(of x: Tensor, offset: Float?) throws -> (step: Float, offset: Float) {
    throw VQError.misuse(name, "\(type(of: self)) defines no start")
  }

  /// N: what shares the step in one sample.
  func features(of x: Tensor) -> Int { x.shape.dropFirst().reduce(1, *) }

  /// Evaluation before the first training forward takes the start of its own input and keeps
  /// nothing.
  public override func forward(_ x: Tensor) throws -> Tensor {
    try x.requireQuantizable(name, isTraining: isTraining)
    if try needsStart() {
      let isFirst = initialized.codes[0] == 0
      let given = try isFirst ? offset?.item() : nil
      var first: (step: Float, offset: Float) = (0, 0)
      if x.count > 0 {
        first = try withoutGradients { try start(of: x, offset: given == 0 ? nil : given) }
      }
      guard isTraining, first.step > 0 else {
        if first.step == 0 { first.step = 1 }
        return try quantized(
          x, step: Tensor(scalar: first.step), offset: Tensor(scalar: first.offset))
      }
      step.mutate { $0[0] = first.step }
      offset?.mutate { $0[0] = first.offset }
      initialized.mutateCodes { $0[0] = 1 }
      for tensor in [step, offset] { tensor?.leaf?.announce(rows: [0]) }
    }
    return try quantized(x, step: step, offset: offset)
  }

  /// Whether the step is not there yet, or an update took it away.
  private func needsStart() throws -> Bool {
    let value = try step.item()
    return initialized.codes[0] == 0 || value < .leastNormalMagnitude
  }

  private func quantized(_ x: Tensor, step: Tensor, offset: Tensor?) throws -> Tensor {
    let operation = name
    try offset?.requireFinite(operation, "offset")
    let grid = StepGrid(
      step: try step.positive(operation, "step"), offset: try offset?.item() ?? 0,
      lowest: Float(levels.lowest), highest: Float(levels.highest))
    let scale = 1 / (Double(max(features(of: x), 1)) * Double(levels.highest)).squareRoot()
    let saved = Saved(x)
    return try Tensor(operation, shape: x.shape) { out in
      x.read { quantizeSteps($0, grid, out, count: x.count) }
    }.recorded(operation, inputs: [x, step] + (offset.map { [$0] } ?? [])) { gradient, needs in
      let x = try saved.tensor(operation)
      var sums = (step: 0.0, offset: 0.0)
      let inX = try Tensor(operation, shape: x.shape) { out in
        x.read { x in
          gradient.read { sums = quantizeStepsGradient(x, $0, grid, out, count: gradient.count) }
        }
      }
      let shared = try [sums.step, sums.offset].map { try Tensor(scalar: Float($0 * scale)) }
      return zip([inX] + shared, needs).map { $1 ? $0 : nil }
    }
  }
}
