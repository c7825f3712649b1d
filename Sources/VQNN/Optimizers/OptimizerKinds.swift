import VQTensor

public typealias OptimizerKind = Kind<Void, Optimizer>

/// Squares of gradients below 1e-22 are 0 in float32; divided by less they would make steps of any
/// size.
private let leastEpsilon = 1e-20

extension OptionRule where Value == Double {
  static var epsilon: Self {
    OptionRule(
      "must be finite and at least \(leastEpsilon): it divides where squares of gradients vanish"
    ) { $0.isFinite && $0 >= leastEpsilon }
  }
}

/// The options of `SGD` by name.
public struct SGDOptions {
  public var momentum = 0.0
  public var nesterov = false
  /// Whether parameters of the roles bias and norm decay as weights do; codebooks never decay.
  public var decayBiasesAndNorms = true

  public init() {}

  public static let table = OptionTable(SGDOptions()) {
    Option("momentum", \.momentum, .atLeastZero)
    Option("nesterov", \.nesterov)
    Option("decay_biases_and_norms", \.decayBiasesAndNorms)
  } agree: {
    guard !$0.nesterov || $0.momentum > 0 else {
      throw VQError.value($1, "momentum", "\($0.momentum)", "nesterov needs a momentum above 0")
    }
  }
}

extension SGD {
  public static let kind = OptimizerKind("sgd", SGDOptions.table) { options, _ in
    try SGD(options, groups: [])
  }
}

/// The options of `Adam` and `AdamW` by name.
public struct AdamOptions {
  public var betas = (0.9, 0.999)
  public var epsilon = 1e-8
  public var decayBiasesAndNorms = true

  public init() {}

  init(_ betas: (Double, Double), _ epsilon: Double, _ decayBiasesAndNorms: Bool) {
    (self.betas, self.epsilon) = (betas, epsilon)
    self.decayBiasesAndNorms = decayBiasesAndNorms
  }

  public static let table = OptionTable(AdamOptions()) {
    Option.numbers("betas", \.betas, both: .belowOne)
    Option("eps", \.epsilon, .epsilon)
    Option("decay_biases_and_norms", \.decayBiasesAndNorms)
  }
}

extension Adam {
  public static let kind = OptimizerKind("adam", AdamOptions.table) { options, _ in
    try Adam(options, groups: [])
  }
}

extension AdamW {
  public static let decoupledKind = OptimizerKind("adamw", AdamOptions.table) { options, _ in
    try AdamW(options, groups: [])
  }
}
