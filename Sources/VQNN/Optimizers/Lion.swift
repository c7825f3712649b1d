import VQKernels
import VQTensor

/// The options of `Lion` by name.
public struct LionOptions {
  /// The shares that the moment keeps in the direction and in the next moment.
  public var betas = (0.9, 0.99)
  public var decayBiasesAndNorms = true

  public init() {}

  public static let table = OptionTable(LionOptions()) {
    Option.numbers("betas", \.betas, both: .belowOne)
    Option("decay_biases_and_norms", \.decayBiasesAndNorms)
  }
}

/// Lion (Chen et al. 2023): steps of the size of the learning rate along the sign of
/// `beta1 m + (1 - beta1) g`, then `m = beta2 m + (1 - beta2) g`.
///
/// Weight decay is decoupled: `p *= 1 - rate * decay` before the step.
public final class Lion: Optimizer {
  public let options: LionOptions

  /// - Throws: `.value` for a beta outside [0, 1) or rates that are not finite.
  public init(_ options: LionOptions = LionOptions(), groups: [ParameterGroup]) throws {
    try LionOptions.table.check(options, "lion")
    self.options = options
    try super.init("lion", groups: groups, decayBiasesAndNorms: options.decayBiasesAndNorms)
  }

  public static let kind = OptimizerKind("lion", LionOptions.table) { options, _ in
    try Lion(options, groups: [])
  }

  public override var betas: (Double, Double)? { options.betas }

  public override func moments(of parameter: Tensor) -> [Moment] {
    [Moment("exp_avg", parameter.shape)]
  }

  public override func update(
    _ parameter: Tensor, gradient: Tensor, state: ParameterState, group: ParameterGroup,
    weightDecay: Double
  ) throws {
    let betas = group.betas ?? options.betas
    let step = LionStep(
      rate: Float(group.learningRate), shrink: Float(1 - group.learningRate * weightDecay),
      directionWeight: Float(1 - betas.0), momentWeight: Float(1 - betas.1))
    parameter.mutate { p in
      gradient.read { g in
        state.moments[0].mutate { lion(step, p, gradient: g, moment: $0, count: parameter.count) }
      }
    }
  }
}
