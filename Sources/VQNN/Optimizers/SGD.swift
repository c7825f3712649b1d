import VQKernels
import VQTensor

/// Stochastic gradient descent, with momentum `b = momentum b + g` (no dampening) and Nesterov's
/// look-ahead.
///
/// Weight decay is an L2 penalty: `g` is the gradient plus decay times the parameter.
public final class SGD: Optimizer {
  public let options: SGDOptions

  /// - Throws: `.value` for a negative momentum, Nesterov without momentum, or rates that are not
  ///   finite.
  public init(_ options: SGDOptions = SGDOptions(), groups: [ParameterGroup]) throws {
    try SGDOptions.table.check(options, "sgd")
    self.options = options
    try super.init("sgd", groups: groups, decayBiasesAndNorms: options.decayBiasesAndNorms)
  }

  public override func moments(of parameter: Tensor) -> [Moment] {
    options.momentum > 0 ? [Moment("momentum_buffer", parameter.shape)] : []
  }

  public convenience init(
    _ parameters: [Tensor], learningRate: Double = 1e-3, momentum: Double = 0,
    nesterov: Bool = false, weightDecay: Double = 0, decayBiasesAndNorms: Bool = true
  ) throws {
    var options = SGDOptions()
    (options.momentum, options.nesterov) = (momentum, nesterov)
    options.decayBiasesAndNorms = decayBiasesAndNorms
    let group = ParameterGroup(
      parameters, learningRate: learningRate, weightDecay: weightDecay)
    try self.init(options, groups: [group])
  }

  public override func update(
    _ parameter: Tensor, gradient: Tensor, state: ParameterState, group: ParameterGroup,
    weightDecay: Double
  ) throws {
    let step = GradientDescentStep(
      rate: Float(group.learningRate), decay: Float(weightDecay), momentum: Float(options.momentum),
      nesterov: options.nesterov)
    parameter.mutate { p in
      gradient.read { g in
        if let buffer = state.moments.first {
          buffer.mutate {
            gradientDescent(step, p, gradient: g, buffer: $0, count: parameter.count)
          }
        } else {
          gradientDescent(step, p, gradient: g, buffer: nil, count: parameter.count)
        }
      }
    }
  }
}
