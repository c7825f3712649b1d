import VQTensor

/// `max(x, 0)`
public final class ReLU: Module {
  public static let kind = ModuleKind("relu") { _ in ReLU() }

  public override func forward(_ x: Tensor) throws -> Tensor { try x.relu() }
}

/// `x Phi(x)`, exact.
public final class GELU: Module {
  public static let kind = ModuleKind("gelu") { _ in GELU() }

  public override func forward(_ x: Tensor) throws -> Tensor { try x.gelu() }
}

/// `x sigmoid(x)`
public final class SiLU: Module {
  public static let kind = ModuleKind("silu") { _ in SiLU() }

  public override func forward(_ x: Tensor) throws -> Tensor { try x.silu() }
}

public final class Tanh: Module {
  public static let kind = ModuleKind("tanh") { _ in Tanh() }

  public override func forward(_ x: Tensor) throws -> Tensor { try x.tanh() }
}

public final class Sigmoid: Module {
  public static let kind = ModuleKind("sigmoid") { _ in Sigmoid() }

  public override func forward(_ x: Tensor) throws -> Tensor { try x.sigmoid() }
}

/// The parameter of an activation, such as alpha.
public struct ActivationOptions {
  public var parameter: Float
}

/// A function of each element by its name in `Tensor.function`.
public final class Activation: Module {
  public let name: String
  public let parameter: Float

  public init(_ name: String, parameter: Float = 0) {
    (self.name, self.parameter) = (name, parameter)
  }

  public override func forward(_ x: Tensor) throws -> Tensor { try x.function(name, parameter) }

  private static func plain(_ name: String) -> ModuleKind {
    ModuleKind(name) { _ in Activation(name) }
  }

  private static func kind(
    _ name: String, _ option: String, _ start: Float, _ rule: OptionRule<Float>? = nil
  ) -> ModuleKind {
    let table = OptionTable(ActivationOptions(parameter: start)) {
      Option(option, \.parameter, rule)
    }
    return ModuleKind(name, table) { options, _ in
      try table.check(options, name)
      return Activation(name, parameter: options.parameter)
    }
  }

  public static let kinds: [ModuleKind] = [
    kind("leaky_relu", "negative_slope", 0.01), kind("elu", "alpha", 1),
    kind("celu", "alpha", 1, OptionRule("must be finite and not 0") { $0.isFinite && $0 != 0 }),
    plain("selu"), plain("gelu_tanh"), plain("mish"), plain("hardswish"), plain("hardsigmoid"),
    kind("softplus", "beta", 1, .aboveZero), plain("softsign"), plain("log_sigmoid"),
  ]
}

/// `exp(x) / sum exp(x)` along one axis.
public final class Softmax: Module {
  public let axis: Int

  public init(axis: Int = -1) { self.axis = axis }

  public override func forward(_ x: Tensor) throws -> Tensor { try x.softmax(axis: axis) }
}

/// Returns its input.
public final class Identity: Module {
  public static let kind = ModuleKind("identity") { _ in Identity() }

  public override func forward(_ x: Tensor) throws -> Tensor { x }
}

/// The options of a `Flatten`.
public struct FlattenOptions {
  public var start = 1

  public static let table = OptionTable(FlattenOptions()) {
    Option("start_dim", \.start, .atLeast(0))
  }
}

/// Joins the axes from `start` on: [n, h, w, c] to [n, h * w * c].
public final class Flatten: Module {
  public let start: Int

  public init(start: Int = 1) throws {
    try FlattenOptions.table.check(FlattenOptions(start: start), "flatten")
    self.start = start
  }

  public static let kind = ModuleKind("flatten", FlattenOptions.table) { options, _ in
    try Flatten(start: options.start)
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    guard x.rank > start else {
      throw VQError.shape("flatten", [x.shape], "an axis \(start) is required")
    }
    return try x.reshape(x.shape.prefix(start) + [x.shape.dropFirst(start).reduce(1, *)])
  }
}
