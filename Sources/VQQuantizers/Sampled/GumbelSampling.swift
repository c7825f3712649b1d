import VQNN
import VQTensor

/// How the temperature of Gumbel softmax samples goes.
public struct GumbelSchedule {
  /// tau of the first training forward.
  public var temperature: Float = 1
  /// What tau is multiplied with after each.
  public var decay: Float = 1
  /// What tau does not fall below; nor does it below 1e-6.
  public var minimum: Float = 0

  public init() {}

  static let least: Float = 1e-6
  static let range = OptionRule<Float>("must be finite and at least 1e-06") {
    $0.isFinite && $0 >= least
  }

  public static let table = OptionTable(GumbelSchedule()) {
    Option("temperature", \.temperature, range)
    Option("temperature_decay", \.decay, .share)
    Option("temperature_min", \.minimum)
  } agree: { schedule, operation in
    guard schedule.minimum >= 0, schedule.minimum <= schedule.temperature else {
      throw VQError.value(
        operation, "temperature_min", "\(schedule.minimum)",
        "must be in 0...\(schedule.temperature), the temperature")
    }
  }
}

/// Draws `softmax((logits + g) / tau)` (Jang et al. 2017, Maddison et al. 2017), g Gumbel numbers:
/// the annealed temperature and the generator are buffers, so that a checkpoint resumes both.
struct GumbelSampling {
  let schedule: GumbelSchedule
  /// tau of the next draw, a scalar.
  let temperature: Tensor
  let generator: StoredGenerator

  init(_ schedule: GumbelSchedule, generator: Generator) throws {
    self.schedule = schedule
    temperature = try Tensor(scalar: schedule.temperature)
    self.generator = try StoredGenerator(generator)
  }

  var buffers: [NamedTensor] { [("temperature", temperature), ("generator", generator.state)] }

  var rules: [(name: String, rule: OptionRule<Float>)] { [("temperature", GumbelSchedule.range)] }

  /// Weights of the codes, [n, k] like `logits`; anneals the temperature.
  func weights(_ logits: Tensor, _ operation: String, _ trace: ForwardTrace?) throws -> Tensor {
    for (_, tensor) in buffers { try trace?.note(tensor) }
    let tau = try temperature.item()
    guard tau.isFinite, tau >= GumbelSchedule.least else {
      throw VQError.value(operation, "temperature", "\(tau)", "must be finite and at least 1e-06")
    }
    let result = try generator.draw { try logits.gumbelSoftmax(temperature: tau, generator: $0) }
    let next = max(tau * schedule.decay, schedule.minimum, GumbelSchedule.least)
    temperature.mutate { $0[0] = next }
    return result
  }
}
