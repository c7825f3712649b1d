import VQTensor

/// The options of a `Conv2d` and, with the output's padding, of a `ConvTranspose2d`.
public struct Conv2dOptions {
  public var inputs = 0
  public var outputs = 0
  public var kernel = (0, 0)
  public var stride = (1, 1)
  public var padding = (0, 0)
  public var outputPadding = (0, 0)
  public var bias = true

  public static let table = OptionTable(Conv2dOptions()) {
    Option("in_channels", \.inputs, .size, isRequired: true)
    Option("out_channels", \.outputs, .size, isRequired: true)
    Option.pair("kernel_size", \.kernel, atLeast: 1, isRequired: true)
    Option.pair("stride", \.stride, atLeast: 1)
    Option.pair("padding", \.padding, atLeast: 0)
    Option("bias", \.bias)
  }
  public static let transposedTable = OptionTable(Conv2dOptions()) {
    table.rows
    Option.pair("output_padding", \.outputPadding)
  }
}

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
    try self.init(
      Conv2dOptions(
        inputs: inputs, outputs: outputs, kernel: kernel, stride: stride, padding: padding,
        bias: bias), generator: generator)
  }

  public convenience init(_ options: Conv2dOptions, generator: Generator) throws {
    try Conv2dOptions.table.check(options, "conv2d")
    let (inputs, outputs, kernel) = (options.inputs, options.outputs, options.kernel)
    let start = try Initializer.weightAndBias(
      "conv2d", [outputs, inputs, kernel.0, kernel.1],
      outputs: options.bias ? outputs : nil, generator: generator)
    try self.init(
      weight: start.weight, bias: start.bias, stride: options.stride, padding: options.padding)
  }

  public static let kind = ModuleKind("conv2d", Conv2dOptions.table) {
    try Conv2d($0, generator: $1.generator())
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
    try self.init(
      Conv2dOptions(
        inputs: inputs, outputs: outputs, kernel: kernel, stride: stride, padding: padding,
        outputPadding: outputPadding, bias: bias), generator: generator)
  }

  public convenience init(_ options: Conv2dOptions, generator: Generator) throws {
    try Conv2dOptions.transposedTable.check(options, "conv_transpose2d")
    let (inputs, outputs, kernel) = (options.inputs, options.outputs, options.kernel)
    let start = try Initializer.weightAndBias(
      "conv_transpose2d", [inputs, outputs, kernel.0, kernel.1],
      outputs: options.bias ? outputs : nil, generator: generator)
    try self.init(
      weight: start.weight, bias: start.bias, stride: options.stride, padding: options.padding,
      outputPadding: options.outputPadding)
  }

  public static let kind = ModuleKind("conv_transpose2d", Conv2dOptions.transposedTable) {
    try ConvTranspose2d($0, generator: $1.generator())
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    try x.convTranspose2d(
      quantizedWeight, bias: bias, stride: stride, padding: padding, outputPadding: outputPadding)
  }
}

/// Throws unless channels, kernel and stride are at least 1 and the padding is at least 0.
