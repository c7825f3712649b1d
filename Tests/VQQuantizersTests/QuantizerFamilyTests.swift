import Testing
import VQTesting

@testable import VQQuantizers

/// What FSQ, LFQ, Gumbel and Gaussian quantizers have in common.
@Suite struct QuantizerFamilyTests {
  private static func input(_ kind: FamilyCase) throws -> (z: Tensor, logVariance: Tensor) {
    let shape = [2, 3, 5, kind.width]
    return (try sample(shape, seed: 1), try sample(shape, seed: 2))
  }

  /// 1 at every position but those of `left`.
  private static func mask(without left: Set<Int>) throws -> Tensor {
    try Tensor(codes: (0..<30).map { left.contains($0) ? 0 : 1 }, shape: [2, 3, 5])
  }

  @Test(arguments: FamilyCase.all) func shapesFollowTheInput(_ kind: FamilyCase) throws {
    let layer = try kind.make(0)
    let (z, logVariance) = try Self.input(kind)
    let result = try kind.quantize(layer, z, logVariance: logVariance)
    #expect(result.zq.shape == [2, 3, 5, layer.outputSize])
    #expect(result.q.shape == [2, 3, 5])
    #expect(result.d.shape == [2, 3, 5])
    #expect(result.z.shape == z.shape)
    #expect(result.loss.shape == [])
    #expect(result.stageLosses.values == [try result.loss.item()])
    let parts = result.commitmentLoss + result.codebookLoss + result.regularization
    #expect(isClose([parts], [try result.loss.item()], 0x1p-22))
    #expect(result.activeCodes == Set(result.q.codes).count)
    #expect(result.perplexity <= Float(result.activeCodes) * (1 + 0x1p-22))
  }

  @Test(arguments: FamilyCase.all, [false, true])
  func decodingCodesGivesTheOutputOfEvaluation(_ kind: FamilyCase, isMasked: Bool) throws {
    let layer = try kind.make(3)
    layer.isTraining = false
    let (z, logVariance) = try Self.input(kind)
    let mask = isMasked ? try Self.mask(without: [0, 7, 29]) : nil
    let result = try kind.quantize(layer, z, logVariance: logVariance, mask: mask)
    let codes = try kind.encode(layer, z, logVariance: logVariance, mask: mask)
    #expect(codes.codes == result.q.codes)
    #expect(codes.codes.contains(-1) == isMasked)
    #expect(try layer.decode(codes).values.map(\.bitPattern) == result.zq.values.map(\.bitPattern))
  }

  @Test(arguments: FamilyCase.all) func evaluationChangesNoState(_ kind: FamilyCase) throws {
    let layer = try kind.make(3)
    let (z, logVariance) = try Self.input(kind)
    layer.isTraining = false
    let before = layer.snapshot
    let first = try kind.quantize(layer, z, logVariance: logVariance)
    let second = try kind.quantize(layer, z, logVariance: logVariance)
    _ = try kind.encode(layer, z, logVariance: logVariance)
    _ = try layer.decode(first.q)
    #expect(first.zq.values == second.zq.values)
    #expect(layer.snapshot == before)
    layer.isTraining = true
    _ = try kind.encode(layer, z, logVariance: logVariance)
    #expect(layer.snapshot == before)
  }

  @Test(arguments: FamilyCase.all) func loadedStateResumesBitForBit(_ kind: FamilyCase) throws {
    let (layer, other) = (try kind.make(3), try kind.make(4))
    let (z, logVariance) = try Self.input(kind)
    _ = try kind.quantize(layer, z, logVariance: logVariance)
    try other.load(state: layer.state.map { ($0.name, try $0.tensor.copied()) })
    for _ in 0..<2 {
      let mine = try kind.quantize(layer, z, logVariance: logVariance)
      let its = try kind.quantize(other, z, logVariance: logVariance)
      #expect(mine.zq.values.map(\.bitPattern) == its.zq.values.map(\.bitPattern))
      #expect(try mine.loss.item() == its.loss.item())
    }
    #expect(layer.snapshot == other.snapshot)
  }

  @Test(arguments: FamilyCase.all) func maskedVectorsTakeNoPart(_ kind: FamilyCase) throws {
    let (layer, other) = (try kind.make(3), try kind.make(3))
    let (z, logVariance) = try Self.input(kind)
    // The second sample is left out, so that the others are a batch of their own.
    let left = Set(15..<30)
    func poisoned(_ x: Tensor) throws -> Tensor {
      let values = x.values.enumerated().map { index, value in
        left.contains(index / kind.width) ? .nan : value
      }
      return try Tensor(values, shape: x.shape)
    }
    let leaf = try poisoned(z).requiringGrad()
    let result = try kind.quantize(
      layer, leaf, logVariance: poisoned(logVariance), mask: Self.mask(without: left))
    let alone = try kind.quantize(
      other, z.slice(axis: 0, from: 0, to: 1),
      logVariance: logVariance.slice(axis: 0, from: 0, to: 1))
    #expect(try result.loss.item() == alone.loss.item())
    #expect(result.perplexity == alone.perplexity)
    #expect(Array(result.zq.values.prefix(15 * layer.outputSize)) == alone.zq.values)
    #expect(result.zq.values.suffix(15 * layer.outputSize).allSatisfy { $0 == 0 })
    #expect(Array(result.q.codes.prefix(15)) == alone.q.codes)
    #expect(result.q.codes.suffix(15).allSatisfy { $0 == -1 })
    try (result.zq.sum() + result.loss).backward()
    let gradient = try #require(leaf.grad).values
    #expect(gradient.allSatisfy { $0.isFinite })
    #expect(gradient.suffix(15 * kind.width).allSatisfy { $0 == 0 })
    #expect(gradient.prefix(15 * kind.width).contains { $0 != 0 })
  }

  @Test(arguments: FamilyCase.all) func threadsDoNotMatter(_ kind: FamilyCase) throws {
    let z = try sample([2, 3000, kind.width], seed: 5)
    try expectThreadIndependent {
      let layer = try kind.make(3)
      let leaf = try z.requiringGrad()
      let result = try kind.quantize(layer, leaf, logVariance: z)
      try (result.zq.sum() + result.loss).backward()
      return [result.zq, result.q, result.d, result.loss, leaf.grad!]
    }
  }

  @Test(arguments: FamilyCase.all) func passingThroughChangesNothing(_ kind: FamilyCase) throws {
    let layer = try kind.make(3)
    let (z, logVariance) = try Self.input(kind)
    layer.isQuantizing = false
    let before = layer.snapshot
    if layer.outputSize != layer.featureSize {
      #expect(
        errorText { try kind.quantize(layer, z, logVariance: logVariance) }
          == "[gumbel_quant] vectors of 4 elements cannot pass for codes of 2")
      return
    }
    let leaf = try z.requiringGrad()
    let result = try kind.quantize(layer, leaf, logVariance: logVariance)
    #expect(result.zq.values == z.values)
    #expect(result.q.codes == (try kind.encode(layer, z, logVariance: logVariance)).codes)
    #expect(try result.loss.item() == 0)
    try (result.zq.sum() + result.loss).backward()
    #expect(leaf.grad!.values.allSatisfy { $0 == 1 })
    #expect(layer.snapshot == before)
  }

  @Test(arguments: FamilyCase.all) func freezingKeepsTheGradientFromTheCodebook(
    _ kind: FamilyCase
  ) throws {
    let layer = try kind.make(3)
    guard let codebook = layer.namedParameters.first(where: { $0.name == "codebook" }) else {
      #expect(layer.namedParameters.isEmpty)
      return
    }
    let (z, logVariance) = try Self.input(kind)
    let leaf = try z.requiringGrad()
    func backward() throws {
      let result = try kind.quantize(layer, leaf, logVariance: logVariance)
      try (result.zq.sum() + result.loss).backward()
    }
    layer.isFrozen = true
    try backward()
    #expect(codebook.tensor.grad == nil)
    #expect(!layer.trainableParameters.contains { $0.name == "codebook" })
    #expect(leaf.grad != nil)
    layer.isFrozen = false
    try backward()
    #expect(codebook.tensor.grad != nil)
  }

  @Test(arguments: FamilyCase.all) func emptyBatches(_ kind: FamilyCase) throws {
    let layer = try kind.make(3)
    let z = try Tensor.ones([2, 0, kind.width])
    let name = errorText { try kind.quantize(layer, z, logVariance: z) }
    #expect(
      name.hasSuffix(
        "shape [2, 0, \(kind.width)] has no elements: training needs at least one vector"))
    layer.isTraining = false
    let result = try kind.quantize(layer, z, logVariance: z)
    #expect(result.zq.shape == [2, 0, layer.outputSize])
    #expect(try layer.decode(kind.encode(layer, z, logVariance: z)).shape == result.zq.shape)
  }

  /// Every tensor that a layer stores is in its state.
  @Test(arguments: FamilyCase.all) func stateIsComplete(_ kind: FamilyCase) throws {
    let layer = try kind.make(3)
    let listed = Set(layer.state.map { ObjectIdentifier($0.tensor.storage) })
    #expect(storedTensors(in: layer) == listed)
    #expect(layer.state.count == listed.count)
  }
}
