import VQKernels
import VQTensor

/// The options of `RMSprop` by name.
public struct RMSpropOptions {
  /// The share that the mean of squares keeps in a step.
  public var alpha = 0.99
  public var epsilon = 1e-8
  public var momentum = 0.0
  /// Whether the mean of squares is taken about the mean.
  public var centered = false
  public var decayBiasesAndNorms = true

  public init() {}

  public static let table = OptionTable(RMSpropOptions()) {
    Option("alpha", \.alpha, .belowOne)
    Option("eps", \.epsilon, .epsilon)
    Option("momentum", \.momentum, .atLeastZero)
    Option("centered", \.centered)
    Option("decay_biases_and_norms", \.decayBiasesAndNorms)
  }
}

/// RMSprop (Tieleman and Hinton 2012): the gradient over the root of its mean square, or when it is
/// centered over its standard deviation (Graves 2013), with momentum `b = momentum b + u`.
///
/// Weight decay is an L2 penalty: `g` is the gradient plus decay times the parameter.
public final class RMSprop: Optimizer {
  public let options: RMSpropOptions

  /// - Throws: `.value` for an alpha outside [0, 1), a negative momentum, or rates that are not
  ///   finite.
  public init(_ options: RMSpropOptions = RMSpropOptions(), groups: [ParameterGroup]) throws {
    try RMSpropOptions.table.check(options, "rmsprop")
    self.options = options
    try super.init("rmsprop", groups: groups, decayBiasesAndNorms: options.decayBiasesAndNorms)
  }

  public static let kind = OptimizerKind("rmsprop", RMSpropOptions.table) { options, _ in
    try RMSprop(options, groups: [])
  }

  public override func moments(of parameter: Tensor) -> [Moment] {
    let shape = parameter.shape
    return [Moment("square_avg", shape, isOfSquares: true)]
      + (options.momentum > 0 ? [Moment("momentum_buffer", shape)] : [])
      + (options.centered ? [Moment("grad_avg", shape)] : [])
  }

  public override func update(
    _ parameter: Tensor, gradient: Tensor, state: ParameterState, group: ParameterGroup,
    weightDecay: Double
  ) throws {
    let step = RMSpropStep(
      rate: Float(group.learningRate), decay: Float(weightDecay), alpha: Float(options.alpha),
      weight: Float(1 - options.alpha), momentum: Float(options.momentum),
      epsilon: Float(options.epsilon))
    let buffer = options.momentum > 0 ? state.moments[1] : nil
    let means = options.centered ? state.moments.last : nil
    parameter.mutate { p in
      gradient.read { g in
        state.moments[0].mutate { v in
          mutate(buffer) { b in
            mutate(means) { a in
              rmsprop(
                step, p, gradient: g, squares: v, means: a, buffer: b, count: parameter.count)
            }
          }
        }
      }
    }
  }
}

private func mutate(_ tensor: Tensor?, _ body: (UnsafeMutablePointer<Float>?) -> Void) {
  guard let tensor else { return body(nil) }
  tensor.mutate { body($0) }
}
