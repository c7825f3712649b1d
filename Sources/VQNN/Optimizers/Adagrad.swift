import VQKernels
import VQTensor

/// The options of `Adagrad` by name.
public struct AdagradOptions {
  /// The rate of step t, from 1, is the learning rate over `1 + (t - 1) rateDecay`.
  public var rateDecay = 0.0
  /// What the sums of squares are at first.
  public var initialSum = 0.0
  public var epsilon = 1e-10
  public var decayBiasesAndNorms = true

  public init() {}

  public static let table = OptionTable(AdagradOptions()) {
    Option("lr_decay", \.rateDecay, .atLeastZero)
    Option("initial_accumulator_value", \.initialSum, .atLeastZero)
    Option("eps", \.epsilon, .epsilon)
    Option("decay_biases_and_norms", \.decayBiasesAndNorms)
  }
}

/// Adagrad (Duchi, Hazan and Singer 2011): the gradient over the root of the sum of all its
/// squares.
///
/// Weight decay is an L2 penalty: `g` is the gradient plus decay times the parameter.
public final class Adagrad: Optimizer {
  public let options: AdagradOptions

  /// - Throws: `.value` for options below 0, or rates that are not finite.
  public init(_ options: AdagradOptions = AdagradOptions(), groups: [ParameterGroup]) throws {
    try AdagradOptions.table.check(options, "adagrad")
    self.options = options
    try super.init("adagrad", groups: groups, decayBiasesAndNorms: options.decayBiasesAndNorms)
  }

  public static let kind = OptimizerKind("adagrad", AdagradOptions.table) { options, _ in
    try Adagrad(options, groups: [])
  }

  public override func moments(of parameter: Tensor) -> [Moment] {
    [Moment("sum", parameter.shape, start: Float(options.initialSum), isOfSquares: true)]
  }

  public override func update(
    _ parameter: Tensor, gradient: Tensor, state: ParameterState, group: ParameterGroup,
    weightDecay: Double
  ) throws {
    let rate = group.learningRate / (1 + Double(state.step - 1) * options.rateDecay)
    parameter.mutate { p in
      gradient.read { g in
        state.moments[0].mutate { sum in
          adagrad(
            rate: Float(rate), decay: Float(weightDecay), epsilon: Float(options.epsilon), p,
            gradient: g, sum: sum, count: parameter.count)
        }
      }
    }
  }
}
