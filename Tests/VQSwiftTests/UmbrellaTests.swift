import Testing
import VQSwift

/// What a program writes after the one import.
@Suite struct UmbrellaTests {
  @Test func aQuantizedNetworkTrains() throws {
    let generator = Generator(seed: 1)
    let x = try generator.normal([32, 6])
    let encoder = try Linear(inputs: 6, outputs: 4, generator: generator)
    let decoder = try Linear(inputs: 4, outputs: 6, generator: generator)
    let quantizer = try VectorQuant(VectorQuantOptions(featureSize: 4, codeCount: 8))
    encoder.weightQuantizer = try WeightQuantizer(
      GridEstimator(.straightThrough, on: UniformGrid(bits: 4, bound: 1)))
    let parameters = [encoder, quantizer, decoder].flatMap { (module: Module) in
      module.namedParameters.map(\.tensor)
    }
    let optimizer = try SGD(parameters, learningRate: 0.1)
    var losses: [Float] = []
    for _ in 0..<20 {
      let quantized = try quantizer.quantize(encoder(x))
      let error = try (decoder(quantized.zq) - x).square().mean()
      let loss = try error + quantized.loss
      optimizer.zeroGrad()
      try loss.backward()
      try optimizer.step()
      losses.append(try error.item())
    }
    #expect(losses.last! < losses.first!)
    #expect(try quantizer.encode(encoder(x)).shape == [32])
  }
}
