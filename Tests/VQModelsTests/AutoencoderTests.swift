import Testing
import VQTesting
import VQNN
import VQQuantizers
import VQTensor

@testable import VQModels

@Suite struct AutoencoderTests {
  private func model(
    _ size: SQVAEImageSize, width: Int = 8, codes: Int = 16, seed: UInt64 = 1
  ) throws -> Autoencoder {
    let options = VectorQuantOptions(featureSize: width, codeCount: codes)
    return try Autoencoder(
      channels: size == .small ? 1 : 3, imageSize: size, quantizer: options,
      generator: Generator(seed: seed))
  }

  @Test func parameterCountsEqualPyTorch() throws {
    // sum(p.numel()) of the same layers in PyTorch, d = 64
    let generator = Generator(seed: 1)
    func count(_ network: Sequential) -> Int {
      network.namedParameters.reduce(0) { $0 + $1.tensor.count }
    }
    #expect(count(try sqvaeEncoder(channels: 3, generator: generator)) == 154_336)
    #expect(count(try sqvaeDecoder(channels: 3, generator: generator)) == 154_147)
    // A residual block more: 64 (9 * 64 + 1) + 64 (64 + 1) + 4 * 64.
    #expect(
      count(try sqvaeEncoder(channels: 3, logVariance: true, generator: generator))
        == 154_336 + 41_344)
  }

  @Test func namesAreThoseOfPyTorch() throws {
    let names = try model(.medium).state.map(\.name)
    for name in [
      "encoder.0.weight", "encoder.1.running_var", "encoder.6.bias", "encoder.9.body.1.weight",
      "encoder.10.body.5.num_batches_tracked", "quantizer.codebook", "decoder.0.body.4.weight",
      "decoder.2.weight", "decoder.8.bias",
    ] {
      #expect(names.contains(name), "\(name)")
    }
    #expect(Set(names).count == names.count)
  }

  @Test(arguments: SQVAEImageSize.allCases)
  func shapesOfEveryStage(_ size: SQVAEImageSize) throws {
    let model = try model(size)
    let side = size.rawValue
    let channels = size == .small ? 1 : 3
    let images = try Generator(seed: 2).uniform([2, side, side, channels])
    let (reconstruction, quantized) = try model.run(images)
    #expect(reconstruction.shape == images.shape)
    #expect(reconstruction.values.allSatisfy { $0 >= 0 && $0 <= 1 })
    #expect(quantized.q.shape == [2, side / 4, side / 4])
    #expect(quantized.zq.shape == [2, side / 4, side / 4, 8])
  }

  @Test(arguments: [SQVAEImageSize.medium, .small])
  func decodedCodesEqualTheReconstruction(_ size: SQVAEImageSize) throws {
    let model = try model(size)
    model.isTraining = false
    let images = try Generator(seed: 2).uniform([
      2, size.rawValue, size.rawValue, size == .medium ? 3 : 1,
    ])
    let codes = try model.encode(images)
    #expect(try model.decode(codes).values == model(images).values)
  }

  @Test func trainingLowersTheLoss() throws {
    let model = try model(.medium)
    let images = try Generator(seed: 3).uniform([4, 32, 32, 3])
    let optimizer = try AdamW(model.trainableParameters.map(\.tensor), learningRate: 3e-3)
    var losses: [Float] = []
    for _ in 0..<25 {
      optimizer.zeroGrad()
      let (reconstruction, quantized) = try model.run(images)
      let error = try reconstruction.meanSquaredError(images)
      losses.append(try error.item())
      try (error + quantized.loss).backward()
      try optimizer.step()
    }
    for (name, parameter) in model.namedParameters { #expect(parameter.grad != nil, "\(name)") }
    #expect(losses.last! < 0.95 * losses.first!)
  }

  @Test func sameSeedGivesTheSameModel() throws {
    let (a, b, c) = (try model(.small), try model(.small), try model(.small, seed: 2))
    func weights(_ model: Autoencoder) -> [[Float]] { model.encoder.state.map(\.tensor.values) }
    #expect(weights(a) == weights(b))
    #expect(weights(a) != weights(c))
  }

  @Test func widthsThatDoNotFit() {
    #expect(
      errorText { _ = try sqvaeEncoder(channels: 3, width: 7, generator: Generator(seed: 1)) }
        == "[sqvae_encoder] width = 7: must be even and at least 2")
    #expect(
      errorText { _ = try sqvaeDecoder(channels: 0, generator: Generator(seed: 1)) }
        == "[sqvae_decoder] channels = 0: must be at least 1")
  }
}
