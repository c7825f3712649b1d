import VQTensor

/// What convolution layers of images and sequences, transposed ones too, have in common.
open class ConvolutionLayer: WeightedLayer {
  public let options: ConvolutionOptions

  fileprivate init(
    _ operation: String, _ options: ConvolutionOptions, weight shape: [Int], generator: Generator
  ) throws {
    self.options = options
    let start = try Initializer.weightAndBias(
      operation, shape, outputs: options.bias ? options.outputs : nil, generator: generator)
    try super.init(weight: start.weight, bias: start.bias)
  }

  fileprivate init(_ options: ConvolutionOptions, weight: Tensor, bias: Tensor?) throws {
    self.options = options
    try super.init(weight: weight, bias: bias)
  }

  fileprivate func convolve(_ x: Tensor, _ weight: Tensor) throws -> Tensor {
    guard x.rank == 4 else { return try x.conv2d(weight) }
    let (input, padding) = try options.extended(x)
    return try input.conv2d(
      weight, bias: bias, stride: options.stride, padding: padding, dilation: options.dilation,
      groups: options.groups)
  }

  fileprivate func convolveTransposed(_ x: Tensor, _ weight: Tensor) throws -> Tensor {
    try x.convTranspose2d(
      weight, bias: bias, stride: options.stride, padding: options.padding,
      outputPadding: options.outputPadding, dilation: options.dilation, groups: options.groups)
  }

  /// `body` of a sequence [n, t, c] as images of one row, and of the weight as theirs.
  fileprivate func ofSequence(
    _ operation: String, _ x: Tensor, _ body: (Tensor, Tensor) throws -> Tensor
  ) throws -> Tensor {
    guard x.rank == 3 else {
      throw VQError.shape(operation, [x.shape], "the input must be [n, t, c]")
    }
    let weight = try quantizedWeight
    let kernel = try weight.reshape([weight.shape[0], weight.shape[1], 1, weight.shape[2]])
    let result = try body(x.reshape([x.shape[0], 1, x.shape[1], x.shape[2]]), kernel)
    return try result.reshape([x.shape[0], result.shape[2], result.shape[3]])
  }
}

/// Convolution: [n, h, w, in] to [n, h', w', out], weight [out, in / groups, kh, kw], bias [out].
public final class Conv2d: ConvolutionLayer {
  public init(
    weight: Tensor, bias: Tensor? = nil, stride: (Int, Int) = (1, 1), padding: (Int, Int) = (0, 0)
  ) throws {
    var options = ConvolutionOptions()
    (options.stride, options.padding) = (stride, padding)
    try super.init(options, weight: weight, bias: bias)
  }

  public convenience init(
    inputs: Int, outputs: Int, kernel: (Int, Int), stride: (Int, Int) = (1, 1),
    padding: (Int, Int) = (0, 0), bias: Bool = true, generator: Generator
  ) throws {
    var options = ConvolutionOptions()
    (options.inputs, options.outputs, options.kernel) = (inputs, outputs, kernel)
    (options.stride, options.padding, options.bias) = (stride, padding, bias)
    try self.init(options, generator: generator)
  }

  public init(_ options: ConvolutionOptions, generator: Generator) throws {
    try ConvolutionOptions.table.check(options, "conv2d")
    let (inputs, kernel) = (options.inputs / options.groups, options.kernel)
    try super.init(
      "conv2d", options, weight: [options.outputs, inputs, kernel.0, kernel.1],
      generator: generator)
  }

  public static let kind = ModuleKind("conv2d", ConvolutionOptions.table) {
    try Conv2d($0, generator: $1.generator())
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    try convolve(x, quantizedWeight)
  }
}

/// Transposed convolution: [n, h, w, in] to [n, h', w', out], weight [in, out / groups, kh, kw],
/// bias [out].
public final class ConvTranspose2d: ConvolutionLayer {
  public convenience init(
    inputs: Int, outputs: Int, kernel: (Int, Int), stride: (Int, Int) = (1, 1),
    padding: (Int, Int) = (0, 0), outputPadding: (Int, Int) = (0, 0), bias: Bool = true,
    generator: Generator
  ) throws {
    var options = ConvolutionOptions()
    (options.inputs, options.outputs, options.kernel) = (inputs, outputs, kernel)
    (options.stride, options.padding, options.bias) = (stride, padding, bias)
    options.outputPadding = outputPadding
    try self.init(options, generator: generator)
  }

  public init(_ options: ConvolutionOptions, generator: Generator) throws {
    try ConvolutionOptions.transposedTable.check(options, "conv_transpose2d")
    let (outputs, kernel) = (options.outputs / options.groups, options.kernel)
    try super.init(
      "conv_transpose2d", options, weight: [options.inputs, outputs, kernel.0, kernel.1],
      generator: generator)
  }

  public static let kind = ModuleKind("conv_transpose2d", ConvolutionOptions.transposedTable) {
    try ConvTranspose2d($0, generator: $1.generator())
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    try convolveTransposed(x, quantizedWeight)
  }
}

/// Convolution: [n, t, in] to [n, t', out], weight [out, in / groups, k], bias [out].
public final class Conv1d: ConvolutionLayer {
  public init(_ options: ConvolutionOptions, generator: Generator) throws {
    try ConvolutionOptions.sequenceTable.check(options, "conv1d")
    try super.init(
      "conv1d", options,
      weight: [options.outputs, options.inputs / options.groups, options.kernel.1],
      generator: generator)
  }

  public static let kind = ModuleKind("conv1d", ConvolutionOptions.sequenceTable) {
    try Conv1d($0, generator: $1.generator())
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    try ofSequence("conv1d", x, convolve)
  }
}

/// Transposed convolution: [n, t, in] to [n, t', out], weight [in, out / groups, k], bias [out].
public final class ConvTranspose1d: ConvolutionLayer {
  public init(_ options: ConvolutionOptions, generator: Generator) throws {
    try ConvolutionOptions.transposedSequenceTable.check(options, "conv_transpose1d")
    try super.init(
      "conv_transpose1d", options,
      weight: [options.inputs, options.outputs / options.groups, options.kernel.1],
      generator: generator)
  }

  public static let kind = ModuleKind(
    "conv_transpose1d", ConvolutionOptions.transposedSequenceTable
  ) {
    try ConvTranspose1d($0, generator: $1.generator())
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    try ofSequence("conv_transpose1d", x, convolveTransposed)
  }
}
