import VQTensor

/// Convolution: [n, h, w, in] to [n, h', w', out], weight [out, in, kh, kw], bias [out].
public final class Conv2d: WeightedLayer {
  public let stride: (Int, Int)
  public let padding: (Int, Int)

  public init(
    weight: Tensor, bias: Tensor? = nil, stride: (Int, Int) = (1, 1), padding: (Int, Int) = (0, 0)
  ) throws {
    self.stride = stride
    self.padding = padding
    try super.init(weight: weight, bias: bias)
  }

  public convenience init(
    inputs: Int, outputs: Int, kernel: (Int, Int), stride: (Int, Int) = (1, 1),
    padding: (Int, Int) = (0, 0), bias: Bool = true, generator: Generator
  ) throws {
    try requireWindow("conv2d", inputs, outputs, kernel, stride, padding)
    let start = try Initializer.weightAndBias(
      "conv2d", [outputs, inputs, kernel.0, kernel.1], outputs: bias ? outputs : nil,
      generator: generator)
    try self.init(weight: start.weight, bias: start.bias, stride: stride, padding: padding)
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    try x.conv2d(quantizedWeight, bias: bias, stride: stride, padding: padding)
  }
}

/// Transposed convolution: [n, h, w, in] to [n, h', w', out], weight [in, out, kh, kw], bias [out].
public final class ConvTranspose2d: WeightedLayer {
  public let stride: (Int, Int)
  public let padding: (Int, Int)
  public let outputPadding: (Int, Int)

  public init(
    weight: Tensor, bias: Tensor? = nil, stride: (Int, Int) = (1, 1), padding: (Int, Int) = (0, 0),
    outputPadding: (Int, Int) = (0, 0)
  ) throws {
    self.stride = stride
    self.padding = padding
    self.outputPadding = outputPadding
    try super.init(weight: weight, bias: bias)
  }

  public convenience init(
    inputs: Int, outputs: Int, kernel: (Int, Int), stride: (Int, Int) = (1, 1),
    padding: (Int, Int) = (0, 0), outputPadding: (Int, Int) = (0, 0), bias: Bool = true,
    generator: Generator
  ) throws {
    try requireWindow("conv_transpose2d", inputs, outputs, kernel, stride, padding)
    let start = try Initializer.weightAndBias(
      "conv_transpose2d", [inputs, outputs, kernel.0, kernel.1], outputs: bias ? outputs : nil,
      generator: generator)
    try self.init(
      weight: start.weight, bias: start.bias, stride: stride, padding: padding,
      outputPadding: outputPadding)
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    try x.convTranspose2d(
      quantizedWeight, bias: bias, stride: stride, padding: padding, outputPadding: outputPadding)
  }
}

/// Throws unless channels, kernel and stride are at least 1 and the padding is at least 0.
private func requireWindow(
  _ operation: String, _ inputs: Int, _ outputs: Int, _ kernel: (Int, Int), _ stride: (Int, Int),
  _ padding: (Int, Int)
) throws {
  try Initializer.require(operation, ["in_channels": inputs, "out_channels": outputs])
  for (name, pair, least) in [
    ("kernel_size", kernel, 1), ("stride", stride, 1), ("padding", padding, 0),
  ]
  where min(pair.0, pair.1) < least {
    throw VQError.value(operation, name, "\(pair)", "both must be at least \(least)")
  }
}
