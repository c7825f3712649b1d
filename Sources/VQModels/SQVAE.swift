import VQNN
import VQTensor

/// The sides of the images that the SQ-VAE backbone (Takida et al. 2022) is made for.
public enum SQVAEImageSize: Int {
  /// Gray 28x28, codes 7x7.
  case small = 28
  /// Colour 32x32, codes 8x8.
  case large = 32
}

/// The encoder: [n, s, s, channels] to [n, s / 4, s / 4, width], `width` even.
public func sqvaeEncoder(
  channels: Int, width: Int = 64, imageSize: SQVAEImageSize = .large, generator: Generator
) throws -> Sequential {
  try requireWidth("sqvae_encoder", channels, width)
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
  try requireWidth("sqvae_decoder", channels, width)
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

private func requireWidth(_ operation: String, _ channels: Int, _ width: Int) throws {
  guard channels >= 1 else {
    throw VQError.value(operation, "channels", "\(channels)", "must be at least 1")
  }
  guard width >= 2, width % 2 == 0 else {
    throw VQError.value(operation, "width", "\(width)", "must be even and at least 2")
  }
}
