import VQNN
import VQTensor

/// The sides of the images that the SQ-VAE backbone (Takida et al. 2022) is made for. Each of its
/// networks takes any side that 4 divides; the codes have a quarter of it.
public enum SQVAEImageSize: Int, CaseIterable {
  /// Gray 28x28.
  case small = 28
  /// Color 32x32: a third convolution.
  case medium = 32
  /// Color 64x64: six residual blocks.
  case large = 64
  /// Color 128x128: the network of 64x64.
  case largest = 128

  /// Residual blocks of the encoder and of the decoder.
  var blocks: (encoder: Int, decoder: Int) { rawValue >= 64 ? (6, 5) : (2, 2) }
}

extension SQVAEImageSize: OptionType {
  public static var form: OptionForm { .integer }
  public static var choices: [String] { allCases.map { "\($0.rawValue)" } }
  public init?(_ value: OptionValue) {
    guard case .integer(let size) = value else { return nil }
    self.init(rawValue: size)
  }
  public var optionValue: OptionValue? { .integer(rawValue) }
}

/// The options of the backbone's sides.
public struct SQVAEOptions {
  public var imageSize = SQVAEImageSize.medium
  public var channels = 3
  public var width = 64

  public static let table = OptionTable(SQVAEOptions()) {
    Option("image_size", \.imageSize)
    Option("channels", \.channels, .size)
    Option(
      "width", \.width,
      OptionRule("must be even and at least 2") { $0 >= 2 && $0.isMultiple(of: 2) })
  }

  public static let decoder = ModuleKind("sqvae_decoder", table) {
    try sqvaeDecoder(
      channels: $0.channels, width: $0.width, imageSize: $0.imageSize, generator: $1.generator())
  }
}

/// The options of the encoder.
public struct SQVAEEncoderOptions {
  public var sides = SQVAEOptions()
  /// Whether the output has the log variance of each value behind them.
  public var logVariance = false

  public static let table = SQVAEOptions.table.extended(SQVAEEncoderOptions(), at: \.sides) {
    Option("log_variance", \.logVariance)
  }

  public static let kind = ModuleKind("sqvae_encoder", table) {
    try sqvaeEncoder(
      channels: $0.sides.channels, width: $0.sides.width, imageSize: $0.sides.imageSize,
      logVariance: $0.logVariance, generator: $1.generator())
  }
}

/// The last residual block twice: [n, h, w, c] to [n, h, w, 2 c], values and then log variances.
final class ValueAndVariance: Module {
  let value: Module
  let variance: Module

  init(value: Module, variance: Module) {
    self.value = value
    self.variance = variance
  }

  override var children: [(name: String, module: Module)] {
    [("value", value), ("variance", variance)]
  }

  override func forward(_ x: Tensor) throws -> Tensor {
    try Tensor.concatenate([value(x), variance(x)], axis: -1)
  }
}

/// The encoder: [n, s, s, channels] to [n, s / 4, s / 4, width], `width` even; twice the width with
/// log variances.
public func sqvaeEncoder(
  channels: Int, width: Int = 64, imageSize: SQVAEImageSize = .medium, logVariance: Bool = false,
  generator: Generator
) throws -> Sequential {
  try SQVAEOptions.table.check(
    SQVAEOptions(imageSize: imageSize, channels: channels, width: width), "sqvae_encoder")
  var layers: [Module] = [
    try halving(channels, width / 2, generator),
    try BatchNorm(channels: width / 2),
    ReLU(),
    try halving(width / 2, width, generator),
  ]
  if imageSize != .small {
    layers += [
      try BatchNorm(channels: width), ReLU(),
      try Conv2d(
        inputs: width, outputs: width, kernel: (3, 3), padding: (1, 1), generator: generator),
    ]
  }
  if imageSize == .medium { layers += [try BatchNorm(channels: width), ReLU()] }
  let count = imageSize.blocks.encoder
  layers += try (1..<count).map { _ in try residualBlock(width, generator) }
  let last = try residualBlock(width, generator)
  guard logVariance else { return Sequential(layers + [last]) }
  return Sequential(
    layers + [ValueAndVariance(value: last, variance: try residualBlock(width, generator))])
}

/// The decoder: [n, s / 4, s / 4, width] to [n, s, s, channels] in (0, 1), `width` even.
public func sqvaeDecoder(
  channels: Int, width: Int = 64, imageSize: SQVAEImageSize = .medium, generator: Generator
) throws -> Sequential {
  try SQVAEOptions.table.check(
    SQVAEOptions(imageSize: imageSize, channels: channels, width: width), "sqvae_decoder")
  var layers = try (0..<imageSize.blocks.decoder).map { _ in try residualBlock(width, generator) }
  if imageSize != .small {
    layers += [
      try ConvTranspose2d(
        inputs: width, outputs: width, kernel: (3, 3), padding: (1, 1), generator: generator),
      try BatchNorm(channels: width), ReLU(),
    ]
  }
  layers += [
    try doubling(width, width / 2, generator),
    try BatchNorm(channels: width / 2), ReLU(),
    try doubling(width / 2, channels, generator),
    Sigmoid(),
  ]
  return Sequential(layers)
}

/// `x + [ReLU, conv 3x3, BN, ReLU, conv 1x1, BN]`.
private func residualBlock(_ width: Int, _ generator: Generator) throws -> Module {
  Residual(
    Sequential(
      ReLU(),
      try Conv2d(
        inputs: width, outputs: width, kernel: (3, 3), padding: (1, 1), generator: generator),
      try BatchNorm(channels: width), ReLU(),
      try Conv2d(inputs: width, outputs: width, kernel: (1, 1), generator: generator),
      try BatchNorm(channels: width)))
}

private func halving(_ inputs: Int, _ outputs: Int, _ generator: Generator) throws -> Module {
  try Conv2d(
    inputs: inputs, outputs: outputs, kernel: (4, 4), stride: (2, 2), padding: (1, 1),
    generator: generator)
}

private func doubling(_ inputs: Int, _ outputs: Int, _ generator: Generator) throws -> Module {
  try ConvTranspose2d(
    inputs: inputs, outputs: outputs, kernel: (4, 4), stride: (2, 2), padding: (1, 1),
    generator: generator)
}
