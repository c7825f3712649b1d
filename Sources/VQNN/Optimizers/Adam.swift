import Glibc
import VQKernels
import VQTensor

/// Adam (Kingma and Ba 2015): bias-corrected first and second moments of the gradient.
///
/// Weight decay is an L2 penalty: `g` is the gradient plus decay times the parameter.
public class Adam: Optimizer {
  public let options: AdamOptions

  init(_ name: String, _ options: AdamOptions, groups: [ParameterGroup]) throws {
    try AdamOptions.table.check(options, name)
    self.options = options
    try super.init(
      name, groups: groups, decayBiasesAndNorms: options.decayBiasesAndNorms)
  }

  public override var betas: (Double, Double)? { options.betas }

  public override func moments(of parameter: Tensor) -> [Moment] {
    let shape = parameter.shape
    return [Moment("exp_avg", shape), Moment("exp_avg_sq", shape, isOfSquares: true)]
  }

  /// - Throws: `.value` for a beta outside [0, 1) or rates that are not finite.
  public convenience init(
    _ options: AdamOptions = AdamOptions(), groups: [ParameterGroup]
  ) throws {
    try self.init("adam", options, groups: groups)
  }

  public convenience init(
    _ parameters: [Tensor], learningRate: Double = 1e-3, betas: (Double, Double) = (0.9, 0.999),
    epsilon: Double = 1e-8, weightDecay: Double = 0, decayBiasesAndNorms: Bool = true
  ) throws {
    try self.init(
      AdamOptions(betas, epsilon, decayBiasesAndNorms),
      groups: [
        ParameterGroup(parameters, learningRate: learningRate, weightDecay: weightDecay)
      ])
  }

  /// L2 penalty, and factor on the parameter before the step.
  func decay(learningRate: Double, weightDecay: Double) -> (penalty: Double, shrink: Double) {
    (weightDecay, 1)
  }

  public override func update(
    _ parameter: Tensor, gradient: Tensor, state: ParameterState, group: ParameterGroup,
    weightDecay: Double
  ) throws {
    let learningRate = group.learningRate
    let (penalty, shrink) = decay(learningRate: learningRate, weightDecay: weightDecay)
    let (betas, steps) = (group.betas ?? options.betas, Double(state.step))
    let step = AdamStep(
      rate: Float(learningRate / (1 - pow(betas.0, steps))), decay: Float(penalty),
      shrink: Float(shrink), firstWeight: Float(1 - betas.0), beta2: Float(betas.1),
      secondWeight: Float(1 - betas.1), correction: Float((1 - pow(betas.1, steps)).squareRoot()),
      epsilon: Float(options.epsilon))
    parameter.mutate { p in
      gradient.read { g in
        state.moments[0].mutate { m in
          state.moments[1].mutate { v in
            adam(step, p, gradient: g, first: m, second: v, count: parameter.count)
          }
        }
      }
    }
  }
}

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019): `p *= 1 - rate * decay` before
/// the step.
public final class AdamW: Adam {
  public convenience init(
    _ options: AdamOptions = AdamOptions(), groups: [ParameterGroup]
  ) throws {
    try self.init("adamw", options, groups: groups)
  }

  public convenience init(
    _ parameters: [Tensor], learningRate: Double = 1e-3, betas: (Double, Double) = (0.9, 0.999),
    epsilon: Double = 1e-8, weightDecay: Double = 0.01, decayBiasesAndNorms: Bool = true
  ) throws {
    try self.init(
      AdamOptions(betas, epsilon, decayBiasesAndNorms),
      groups: [
        ParameterGroup(parameters, learningRate: learningRate, weightDecay: weightDecay)
      ])
  }

  override func decay(
    learningRate: Double, weightDecay: Double
  ) -> (penalty: Double, shrink: Double) {
    (0, 1 - learningRate * weightDecay)
  }
}
