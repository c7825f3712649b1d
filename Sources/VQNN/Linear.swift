import VQTensor

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
    try Initializer.require("linear", ["in_features": inputs, "out_features": outputs])
    let start = try Initializer.weightAndBias(
      "linear", [outputs, inputs], outputs: bias ? outputs : nil, generator: generator)
    try self.init(weight: start.weight, bias: start.bias)
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    guard let features = x.shape.last, features == weight.shape[1] else {
      throw VQError.shape(
        "linear", [x.shape, weight.shape],
        "the input's last axis must have the \(weight.shape[1]) features that the weight expects")
    }
    let product = try x.matmul(quantizedWeight.transposed())  // [..., out]
    return try bias.map { try product + $0 } ?? product
  }
}
