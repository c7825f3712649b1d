import VQNN
import VQTensor

/// The sides of the images that the SQ-VAE backbone (Takida et al. 2022) is made for.
public enum SQVAEImageSize: Int {
  /// Gray 28x28, codes 7x7.
  case small = 28
  /// Color 32x32, codes 8x8.
  case large = 32
}

extension SQVAEImageSize: OptionType {
  public static var form: OptionForm { .integer }
  public static var choices: [String] { ["28", "32"] }
  public init?(_ value: OptionValue) {
    guard case .integer(let size) = value else { return nil }
    self.init(rawValue: size)
  }
  public var optionValue: OptionValue? { .integer(rawValue) }
}

/// The options of the backbone's sides.
public struct SQVAEOptions {
  public var imageSize = SQVAEImageSize.large
  public var channels = 3
  public var width = 64

  public static let table = OptionTable(SQVAEOptions()) {
    Option("image_size", \.imageSize)
    Option("channels", \.channels, .size)
    Option(
      "width", \.width,
      OptionRule("must be even and at least 2") { $0 >= 2 && $0.isMultiple(of: 2) })
  }

  public static let encoder = ModuleKind("sqvae_encoder", table) {
    try sqvaeEncoder(
      channels: $0.channels, width: $0.width, imageSize: $0.imageSize, generator: $1.generator())
  }
  public static let decoder = ModuleKind("sqvae_decoder", table) {
    try sqvaeDecoder(
      channels: $0.channels, width: $0.width, imageSize: $0.imageSize, generator: $1.generator())
  }
}

/// The encoder: [n, s, s, channels] to [n, s / 4, s / 4, width], `width` even.
public func sqvaeEncoder(
  channels: Int, width: Int = 64, imageSize: SQVAEImageSize = .large, generator: Generator
) throws -> Sequential {
  try SQVAEOptions.table.check(
    SQVAEOptions(imageSize: imageSize, channels: channels, width: width), "sqvae_encoder")
  var layers: [Module] = [
    try halving(channels, width / 2, generator),
    try BatchNorm(channels: width / 2),
    ReLU(),
    try halving(width / 2, width, generator),
  ]
  if imageSize == .large {
    layers += [
      try BatchNorm(channels: width), ReLU(),
      try Conv2d(
        inputs: width, outputs: width, kernel: (3, 3), padding: (1, 1), generator: generator),
      try BatchNorm(channels: width), ReLU(),
    ]
  }
  return Sequential(layers + (try residualBlocks(width, generator)))
}

/// The decoder: [n, s / 4, s / 4, width] to [n, s, s, channels] in (0, 1), `width` even.
public func sqvaeDecoder(
  channels: Int, width: Int = 64, imageSize: SQVAEImageSize = .large, generator: Generator
) throws -> Sequential {
  try SQVAEOptions.table.check(
    SQVAEOptions(imageSize: imageSize, channels: channels, width: width), "sqvae_decoder")
  var layers = try residualBlocks(width, generator)
  if imageSize == .large {
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

/// Two of `x + [ReLU, conv 3x3, BN, ReLU, conv 1x1, BN]`.
private func residualBlocks(_ width: Int, _ generator: Generator) throws -> [Module] {
  try (0..<2).map { _ in
    Residual(
      Sequential(
        ReLU(),
        try Conv2d(
          inputs: width, outputs: width, kernel: (3, 3), padding: (1, 1), generator: generator),
        try BatchNorm(channels: width), ReLU(),
        try Conv2d(inputs: width, outputs: width, kernel: (1, 1), generator: generator),
        try BatchNorm(channels: width)))
  }
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
