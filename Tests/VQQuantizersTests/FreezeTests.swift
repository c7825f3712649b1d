import Testing
import VQTesting

@testable import VQQuantizers

@Suite struct FreezeTests {
  /// Nothing that belongs to a codebook moves, and no gradient reaches it; vectors keep theirs.
  @Test(
    arguments: Variant.all.filter {
      !["batch norm", "stochastic", "directional"].contains($0.testDescription)
    })
  func frozenCodebooksStay(variant: Variant) throws {
    let layer = try VectorQuant(variant.options)
    _ = try train(layer, isInplace: variant.isInplace, steps: 2)
    let moving = try VectorQuant(variant.options)
    try moving.load(state: layer.state.filter { $0.name != "codebook_gradient" })
    layer.zeroGrad()
    layer.codebook.grad = nil
    layer.isFrozen = true
    let before = layer.snapshot
    let z = try sample([2, 10, 6], seed: 3).requiringGrad()
    for _ in 0..<3 {
      let result = try layer.quantize(z)
      try (result.zq.sum() + result.loss).backward()
      if layer.options.codeSize == nil {
        try #expect(!layer.decode(result.q).requiresGrad)
        try #expect(!layer.effectiveCodebook().requiresGrad)
      }
    }
    #expect(layer.snapshot == before)
    #expect(
      layer.ownParameters.allSatisfy { ($0.tensor.grad?.values ?? [0]).allSatisfy { $0 == 0 } })
    #expect(layer.ownTrainableParameters.isEmpty)
    #expect(z.grad!.values.allSatisfy { $0.isFinite && $0 != 0 })
    layer.isFrozen = false
    #expect(
      layer.ownTrainableParameters.map(\.name) == moving.ownTrainableParameters.map(\.name)
        || variant.isInplace)
  }

  /// The encoder's gradients and values are as if the codebook could move.
  @Test func vectorsTrainAsBefore() throws {
    let options = Variant("") { ($0.syncNu, $0.affineLearningRate) = (1, 1) }.options
    let (frozen, free) = (try VectorQuant(options), try VectorQuant(options))
    frozen.isFrozen = true
    let (z, same) = (
      try sample([9, 6], seed: 4).requiringGrad(), try sample([9, 6], seed: 4).requiringGrad()
    )
    let (result, expected) = (try frozen.quantize(z), try free.quantize(same))
    #expect(result.bits == expected.bits)
    try (result.zq.square().sum() + result.loss).backward()
    try (expected.zq.square().sum() + expected.loss).backward()
    #expect(z.grad!.values == same.grad!.values)
    #expect(free.codebook.grad != nil)
  }

  @Test func freezingReachesEveryCodebook() throws {
    let options = Variant("") { ($0.emaDecay, $0.replaceFrequency) = (0.5, 1) }.options
    let group = try GroupVectorQuant(options, groups: 3)
    let residual = try ResidualVectorQuant(options, stages: 3)
    for layer in [group, residual] as [CodebookQuantizer] {
      layer.isFrozen = true
      #expect(layer.vectorQuants.allSatisfy { $0.isFrozen })
      let before = layer.snapshot
      _ = try layer.quantize(sample([9, 6], seed: 5))
      #expect(layer.snapshot == before)
      layer.isFrozen = false
      #expect(layer.vectorQuants.allSatisfy { !$0.isFrozen })
      _ = try layer.quantize(sample([9, 6], seed: 5))
      #expect(layer.snapshot != before)
    }
  }

  @Test func aFrozenCodebookIsNotFitted() throws {
    let layer = try VectorQuant(Variant.all[0].options)
    layer.isFrozen = true
    let before = layer.snapshot
    #expect(
      errorText { try layer.fit(sample([9, 6], seed: 6)) }
        == "[vector_quant.fit] the codebook is frozen: unfreeze it first")
    #expect(layer.snapshot == before)
  }

  /// Freezing waits with the first k-means, it does not cancel it.
  @Test func startsAfterThawing() throws {
    let layer = try VectorQuant(Variant("") { $0.start = .kMeans }.options)
    layer.isFrozen = true
    let z = try sample([200, 6], seed: 7, mean: 10)
    #expect(
      errorText { try layer.quantize(z) }.hasPrefix(
        "[vector_quant] the codebook waits for its start"))
    #expect(layer.kMeans.initialized.codes == [0])
    layer.isFrozen = false
    #expect(try layer.quantize(z).loss.item() < 10)
    #expect(layer.kMeans.initialized.codes == [1])
  }
}
