import VQTensor

/// The options of a `Linear`.
public struct LinearOptions {
  public var inputs = 0
  public var outputs = 0
  public var bias = true

  public static let table = OptionTable(LinearOptions()) {
    Option("in_features", \.inputs, .size, isRequired: true)
    Option("out_features", \.outputs, .size, isRequired: true)
    Option("bias", \.bias)
  }
}

/// `y = x W^T + b`: [..., in] to [..., out], weight [out, in], bias [out].
public final class Linear: WeightedLayer {
  public override init(weight: Tensor, bias: Tensor? = nil) throws {
    guard weight.rank == 2 else {
      throw VQError.shape("linear", [weight.shape], "the weight must be [out, in]")
    }
    if let bias, bias.shape != [weight.shape[0]] {
      throw VQError.shape("linear", [weight.shape, bias.shape], "the bias must be [out]")
    }
    try super.init(weight: weight, bias: bias)
  }

  public convenience init(
    inputs: Int, outputs: Int, bias: Bool = true, generator: Generator
  ) throws {
    try self.init(
      LinearOptions(inputs: inputs, outputs: outputs, bias: bias), generator: generator)
  }

  public convenience init(_ options: LinearOptions, generator: Generator) throws {
    try LinearOptions.table.check(options, "linear")
    let (inputs, outputs, bias) = (options.inputs, options.outputs, options.bias)
    let start = try Initializer.weightAndBias(
      "linear", [outputs, inputs], outputs: bias ? outputs : nil, generator: generator)
    try self.init(weight: start.weight, bias: start.bias)
  }

  public static let kind = ModuleKind("linear", LinearOptions.table) {
    try Linear($0, generator: $1.generator())
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    try x.linear(quantizedWeight, bias: bias)
  }
}
