import VQKernels
import VQTensor

/// Stochastic gradient descent, with momentum `b = momentum b + g` (no dampening) and Nesterov's look-ahead.
///
/// Weight decay is an L2 penalty: `g` is the gradient plus decay times the parameter.
public final class SGD: Optimizer {
  public let momentum: Double
  public let nesterov: Bool

  /// - Throws: `.value` for momentum outside [0, 1), Nesterov without momentum, or rates that are not finite.
  public init(groups: [ParameterGroup], momentum: Double = 0, nesterov: Bool = false) throws {
    try Optimizer.check("sgd", "momentum", momentum)
    guard !nesterov || momentum > 0 else {
      throw VQError.value("sgd", "momentum", "\(momentum)", "nesterov needs a momentum above 0")
    }
    self.momentum = momentum
    self.nesterov = nesterov
    try super.init("sgd", groups: groups, momentNames: momentum > 0 ? ["momentum_buffer"] : [])
  }

  public convenience init(
    _ parameters: [Tensor], learningRate: Double = 1e-3, momentum: Double = 0,
    nesterov: Bool = false, weightDecay: Double = 0, decayBiasesAndNorms: Bool = true
  ) throws {
    let group = ParameterGroup(
      parameters, learningRate: learningRate, weightDecay: weightDecay,
      decayBiasesAndNorms: decayBiasesAndNorms)
    try self.init(groups: [group], momentum: momentum, nesterov: nesterov)
  }

  public override func update(
    _ parameter: Tensor, gradient: Tensor, state: ParameterState, learningRate: Double,
    weightDecay: Double
  ) throws {
    let step = GradientDescentStep(
      rate: Float(learningRate), decay: Float(weightDecay), momentum: Float(momentum),
      nesterov: nesterov)
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
