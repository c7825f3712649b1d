import Glibc
import VQKernels
import VQTensor

/// The options of `Adafactor` by name.
public struct AdafactorOptions {
  /// beta2 of step t, from 1, is `1 - t^beta2Decay`.
  public var beta2Decay = -0.8
  /// The least estimate of a gradient's size, and of a parameter's.
  public var epsilons = (0x1p-23, 1e-3)
  /// The root mean square that an update has at most.
  public var threshold = 1.0
  public var decayBiasesAndNorms = true

  public init() {}

  /// Its square is a number of float32.
  private static let leastEpsilon = 1e-18

  public static let table = OptionTable(AdafactorOptions()) {
    Option(
      "beta2_decay", \.beta2Decay,
      OptionRule("must be finite and at most 0") { $0.isFinite && $0 <= 0 })
    Option.numbers("eps", \.epsilons, both: .atLeastZero)
    Option(
      "d", \.threshold, OptionRule("must be finite and at least 1") { $0.isFinite && $0 >= 1 })
    Option("decay_biases_and_norms", \.decayBiasesAndNorms)
  } agree: {
    guard $0.epsilons.0 >= leastEpsilon else {
      throw VQError.value(
        $1, "eps", "\([$0.epsilons.0, $0.epsilons.1])",
        "the first must be at least \(leastEpsilon): it divides where squares of gradients vanish")
    }
  }
}

/// Adafactor (Shazeer and Stern 2018) as PyTorch has it: of a matrix, means of squares are kept of
/// rows and of columns alone, of further axes a matrix each; updates are clipped by their root mean
/// square and scaled by the parameter's, `max(eps2, rms(p)) min(rate, 1 / sqrt(t))`.
///
/// Weight decay is decoupled: `p *= 1 - rate * decay` before the step.
public final class Adafactor: Optimizer {
  public let options: AdafactorOptions

  /// - Throws: `.value` for a decay of beta2 above 0, a threshold below 1, or numbers that are not
  ///   finite.
  public init(_ options: AdafactorOptions = AdafactorOptions(), groups: [ParameterGroup]) throws {
    try AdafactorOptions.table.check(options, "adafactor")
    self.options = options
    try super.init("adafactor", groups: groups, decayBiasesAndNorms: options.decayBiasesAndNorms)
  }

  public static let kind = OptimizerKind("adafactor", AdafactorOptions.table) { options, _ in
    try Adafactor(options, groups: [])
  }

  /// Of [..., m, n] the means over columns [..., m, 1] and over rows [..., 1, n].
  public override func moments(of parameter: Tensor) -> [Moment] {
    let (shape, rank) = (parameter.shape, parameter.rank)
    guard rank > 1 else { return [Moment("variance", shape, isOfSquares: true)] }
    let batch = Array(shape.dropLast(2))
    return [
      Moment("row_var", batch + [shape[rank - 2], 1], isOfSquares: true),
      Moment("col_var", batch + [1, shape[rank - 1]], isOfSquares: true),
    ]
  }

  public override func update(
    _ parameter: Tensor, gradient: Tensor, state: ParameterState, group: ParameterGroup,
    weightDecay: Double
  ) throws {
    let (shape, count) = (parameter.shape, parameter.count)
    guard count > 0 else { return }
    let size = (parameter.read { squaredNorm($0, count: count) } / Double(count)).squareRoot()
    let steps = Double(state.step)
    let step = AdafactorStep(
      rate: max(options.epsilons.1, size) * min(group.learningRate, 1 / steps.squareRoot()),
      shrink: 1 - group.learningRate * weightDecay, weight: pow(steps, options.beta2Decay),
      epsilon: options.epsilons.0, threshold: options.threshold)
    parameter.mutate { p in
      gradient.read { g in
        state.moments[0].mutate { first in
          guard let columns = state.moments.dropFirst().first else {
            return adafactor(step, p, gradient: g, squares: first, count: count)
          }
          let (m, n) = (shape[shape.count - 2], shape[shape.count - 1])
          columns.mutate {
            adafactor(
              step, p, gradient: g, rowSquares: first, columnSquares: $0, batch: count / (m * n),
              rows: m, columns: n)
          }
        }
      }
    }
  }
}
