import VQNN
import VQQuantizers
import VQTensor

/// An encoder, a vector quantizer over its channels, and a decoder.
public final class Autoencoder: Module {
  public let encoder: Module
  public let quantizer: VectorQuant
  public let decoder: Module

  public init(encoder: Module, quantizer: VectorQuant, decoder: Module) {
    self.encoder = encoder
    self.quantizer = quantizer
    self.decoder = decoder
  }

  /// The SQ-VAE backbone around a quantizer whose feature size is the width.
  ///
  /// - Parameters:
  ///   - channels: of the images.
  ///   - generator: draws the weights of encoder and decoder.
  public convenience init(
    channels: Int, imageSize: SQVAEImageSize = .medium, quantizer: VectorQuantOptions,
    generator: Generator
  ) throws {
    let width = quantizer.featureSize
    self.init(
      encoder: try sqvaeEncoder(
        channels: channels, width: width, imageSize: imageSize, generator: generator),
      quantizer: try VectorQuant(quantizer),
      decoder: try sqvaeDecoder(
        channels: channels, width: width, imageSize: imageSize, generator: generator))
  }

  public override var children: [(name: String, module: Module)] {
    [("encoder", encoder), ("quantizer", quantizer), ("decoder", decoder)]
  }

  /// The reconstruction of `images` [n, h, w, c], of their shape.
  public override func forward(_ images: Tensor) throws -> Tensor { try run(images).reconstruction }

  /// The reconstruction and what the quantizer did.
  public func run(_ images: Tensor) throws -> (reconstruction: Tensor, quantized: Quantized) {
    let quantized = try quantizer.quantize(encoder(images))
    return (try decoder(quantized.zq), quantized)
  }

  /// Codes of `images`: int32 [n, h', w'].
  public func encode(_ images: Tensor) throws -> Tensor { try quantizer.encode(encoder(images)) }

  /// Images of `codes`.
  public func decode(_ codes: Tensor) throws -> Tensor { try decoder(quantizer.decode(codes)) }
}
