import Testing
import VQTesting

@testable import VQQuantizers

/// Orthogonal and entropy regularisers in the layer's loss.
@Suite struct RegularizedLayerTests {
  private func layer(_ change: (inout VectorQuantOptions) -> Void) throws -> VectorQuant {
    var options = VectorQuantOptions(featureSize: 3, codeCount: 5)
    change(&options)
    return try VectorQuant(options)
  }

  @Test func valuesAddUp() throws {
    let layer = try layer {
      ($0.orthogonalWeight, $0.entropyWeight, $0.entropyTemperature) = (0.5, 0.25, 2)
    }
    let plain = try self.layer { _ in }
    let z = try sample([20, 3], seed: 1)
    let (result, bare) = (try layer.quantize(z), try plain.quantize(z))
    let orthogonal = try orthogonalRegularizer(layer.codebook.detached()).item()
    let entropy = try entropyRegularizer(z, layer.codebook.detached(), temperature: 2).loss.item()
    let expected = 0.5 * orthogonal + 0.25 * entropy
    #expect(isClose([result.regularization], [expected], 1e-6))
    #expect(isClose([try result.loss.item()], [try bare.loss.item() + expected], 1e-6))
    #expect(result.commitmentLoss == bare.commitmentLoss)
    #expect(result.codebookLoss == bare.codebookLoss)
    #expect(bare.regularization == 0)
  }

  /// Of the regularisers alone: twice the loss less the commitment's.
  @Test(arguments: [false, true]) func gradientsAddUp(isAffine: Bool) throws {
    let layer = try layer {
      ($0.orthogonalWeight, $0.entropyWeight) = (0.5, 0.25)
      $0.affineLearningRate = isAffine ? 1 : 0
    }
    layer.affineBias?.setValues([0.3, -0.2, 0.5])
    let plain = try self.layer { $0.affineLearningRate = isAffine ? 1 : 0 }
    plain.affineBias?.setValues([0.3, -0.2, 0.5])
    let (z, same) = (
      try sample([20, 3], seed: 2).requiringGrad(), try sample([20, 3], seed: 2).requiringGrad()
    )
    try layer.quantize(z).loss.backward()
    try plain.quantize(same).loss.backward()

    let leaf = try z.detached().requiringGrad()
    let effective = try layer.effectiveCodebook().detached().requiringGrad()
    let own =
      try orthogonalRegularizer(effective) * 0.5
      + entropyRegularizer(leaf, effective, temperature: 1).loss * 0.25
    try own.backward()
    #expect(isClose(z.grad!.values, (try same.grad! + leaf.grad!).values, 1e-6))
    // The map shifts: its factor is 1.
    #expect(
      isClose(
        layer.codebook.grad!.values, (try plain.codebook.grad! + effective.grad!).values, 1e-6))
    if let bias = layer.affineBias {
      let sums = try effective.grad!.sum(axes: [0], keepDims: true)
      #expect(isClose(bias.grad!.values, (try plain.affineBias!.grad! + sums).values, 1e-6))
    }
  }

  /// The in-place step takes the regularisers of its part; the caller's loss leaves C alone.
  @Test func inPlaceStepsIncludeThem() throws {
    let layer = try layer { ($0.orthogonalWeight, $0.entropyWeight) = (0.5, 0.25) }
    let start = try layer.codebook.copied()
    let z = try sample([20, 3], seed: 3)
    let leaf = try start.requiringGrad()
    let codes = try nearestCodes(z, start).codes
    let loss =
      try (z - leaf.gatherRows(codes)).square().mean()
      + orthogonalRegularizer(leaf) * 0.5
      + entropyRegularizer(z, leaf, temperature: 1).loss * 0.25
    try loss.backward()
    try layer.stepInPlace(learningRate: 0.4, momentum: 0)
    let result = try layer.quantize(z)
    #expect(isClose(layer.codebook.values, (try start - leaf.grad! * 0.4).values, 1e-6))
    #expect(!result.loss.requiresGrad)
    #expect(layer.codebook.grad == nil)
  }

  /// No gradient reaches an EMA codebook: the entropy moves the vectors alone.
  @Test func entropyOfAnEMACodebook() throws {
    let layer = try layer { ($0.entropyWeight, $0.emaDecay, $0.beta) = (1, 0.8, 1) }
    let z = try sample([20, 3], seed: 4).requiringGrad()
    try layer.quantize(z).loss.backward()
    #expect(layer.codebook.grad == nil)
    #expect(z.grad!.values.contains { $0 != 0 })
    #expect(
      errorText { try self.layer { ($0.orthogonalWeight, $0.emaDecay) = (1, 0.8) } }
        == "[vector_quant] orthogonal_weight = 1.0: no gradient reaches an EMA codebook: it must be 0"
    )
  }

  @Test func descendingSpreadsTheCodes() throws {
    let layer = try layer { ($0.orthogonalWeight, $0.codeCount) = (5, 3) }
    layer.codebook.setValues([1, 0, 0, 1, 0.1, 0, 1, 0, 0.1])
    let optimizer = try SGD([layer.codebook], learningRate: 0.5)
    let z = try sample([20, 3], seed: 5, scale: 0.1)
    var values: [Float] = []
    for _ in 0..<60 {
      optimizer.zeroGrad()
      let result = try layer.quantize(z)
      try result.loss.backward()
      try optimizer.step()
      values.append(result.regularization)
    }
    #expect(values.last! < 0.1 * values.first!)
  }
}
