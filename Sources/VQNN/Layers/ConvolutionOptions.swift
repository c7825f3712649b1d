import VQTensor

/// What a convolution layer reads beyond the ends of its input.
public enum ConvolutionPadding: String, OptionChoice {
  case zeros, reflect, replicate, circular

  public var optionName: String { rawValue }

  fileprivate var mode: PaddingMode {
    switch self {
    case .zeros: .constant
    case .reflect: .reflect
    case .replicate: .replicate
    case .circular: .circular
    }
  }
}

/// The options of a convolution layer of images or, in the second of each pair, of sequences.
public struct ConvolutionOptions {
  public var inputs = 0
  public var outputs = 0
  public var kernel = (1, 1)
  public var stride = (1, 1)
  public var padding = (0, 0)
  public var outputPadding = (0, 0)
  public var dilation = (1, 1)
  public var groups = 1
  public var bias = true
  public var paddingMode = ConvolutionPadding.zeros
  /// Whether padding keeps the input's size; the extra element of an even kernel stands behind.
  public var isSame = false

  public init() {}

  private static let channels = [
    Option("in_channels", \ConvolutionOptions.inputs, .size, isRequired: true),
    Option("out_channels", \ConvolutionOptions.outputs, .size, isRequired: true),
  ]
  private static let images = [
    Option.pair("kernel_size", \ConvolutionOptions.kernel, atLeast: 1, isRequired: true),
    Option.pair("stride", \ConvolutionOptions.stride, atLeast: 1),
    Option.pair("padding", \ConvolutionOptions.padding, atLeast: 0),
    Option.pair("dilation", \ConvolutionOptions.dilation, atLeast: 1),
  ]
  private static let sequences = [
    Option("kernel_size", \ConvolutionOptions.kernel.1, .size, isRequired: true),
    Option("stride", \ConvolutionOptions.stride.1, .size),
    Option("padding", \ConvolutionOptions.padding.1, .atLeast(0)),
    Option("dilation", \ConvolutionOptions.dilation.1, .size),
  ]
  private static let others = [
    Option("groups", \ConvolutionOptions.groups, .size),
    Option("bias", \ConvolutionOptions.bias),
  ]

  private static func table(
    _ windows: [Option<ConvolutionOptions>], _ rest: [Option<ConvolutionOptions>]
  ) -> OptionTable<ConvolutionOptions> {
    OptionTable(ConvolutionOptions(), { channels + windows + others + rest }, agree: agree)
  }

  private static let beyondEnds = [
    Option("padding_mode", \ConvolutionOptions.paddingMode),
    Option("same", \ConvolutionOptions.isSame),
  ]
  public static let table = table(images, beyondEnds)
  public static let sequenceTable = table(sequences, beyondEnds)
  public static let transposedTable = table(
    images, [Option.pair("output_padding", \ConvolutionOptions.outputPadding)])
  public static let transposedSequenceTable = table(
    sequences, [Option("output_padding", \ConvolutionOptions.outputPadding.1)])

  private static func agree(_ options: ConvolutionOptions, _ operation: String) throws {
    let (inputs, outputs, groups) = (options.inputs, options.outputs, options.groups)
    guard inputs % groups == 0, outputs % groups == 0 else {
      throw VQError.value(
        operation, "groups", "\(groups)",
        "must divide in_channels = \(inputs) and out_channels = \(outputs)")
    }
    guard !options.isSame || options.stride == (1, 1) && options.padding == (0, 0) else {
      throw VQError.value(
        operation, "same", "true", "goes with stride 1 and no other padding")
    }
  }

  /// The input with what stands beyond its ends, save the zeros that the convolution itself reads,
  /// of which it returns the widths.
  func extended(_ x: Tensor) throws -> (Tensor, padding: (Int, Int)) {
    var (before, after) = (padding, padding)
    if isSame {
      let total = (dilation.0 * (kernel.0 - 1), dilation.1 * (kernel.1 - 1))
      before = (total.0 / 2, total.1 / 2)
      after = (total.0 - before.0, total.1 - before.1)
    }
    var rest = (0, 0)
    if paddingMode == .zeros {
      (rest, before, after) = (before, (0, 0), (after.0 - before.0, after.1 - before.1))
    }
    var result = x
    for (axis, (first, last)) in [(1, (before.0, after.0)), (2, (before.1, after.1))]
    where first > 0 || last > 0 {
      result = try result.padded(axis: axis, before: first, after: last, mode: paddingMode.mode)
    }
    return (result, rest)
  }
}
