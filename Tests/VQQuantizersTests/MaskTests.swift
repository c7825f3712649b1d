import Testing
import VQTesting

@testable import VQQuantizers

@Suite struct MaskTests {
  static let mask: [Int32] = [1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 1, 1]
  static let kept: [Int32] = [0, 1, 3, 6, 7, 8, 10, 11]

  /// [12, 6] and its kept rows.
  private func vectors(seed: UInt64) throws -> (all: Tensor, kept: Tensor) {
    let all = try sample([12, 6], seed: seed)
    return (all, try all.gatherRows(Tensor(codes: Self.kept, shape: [8])))
  }

  /// Outputs, gradients and state are those of the kept vectors alone; masked ones may be anything.
  @Test(arguments: Variant.all) func equalsTheLayerOnTheKeptVectors(variant: Variant) throws {
    let (masked, alone) = (try VectorQuant(variant.options), try VectorQuant(variant.options))
    if variant.isInplace {
      try masked.stepInPlace()
      try alone.stepInPlace()
    }
    let mask = try Tensor(codes: Self.mask, shape: [1, 12])
    for step in 0..<4 {
      let (all, kept) = try vectors(seed: UInt64(step))
      var values = all.values
      for (row, flag) in Self.mask.enumerated() where flag == 0 {
        for l in 0..<6 { values[row * 6 + l] = l == 0 ? .nan : .infinity }
      }
      let z = try Tensor(values, shape: [1, 12, 6]).requiringGrad()
      let own = try kept.reshape([1, 8, 6]).requiringGrad()
      let g = try sample([1, 12, 6], seed: 99)
      let part = try g.reshape([12, 6]).gatherRows(Tensor(codes: Self.kept, shape: [8]))
      let (result, expected) = (try masked.quantize(z, mask: mask), try alone.quantize(own))
      try ((result.zq * g).sum() + result.loss).backward()
      try ((expected.zq * part.reshape([1, 8, 6])).sum() + expected.loss).backward()

      #expect(try result.loss.item() == expected.loss.item())
      #expect(result.perplexity == expected.perplexity)
      #expect(result.activeCodes == expected.activeCodes)
      for (row, flag) in Self.mask.enumerated() {
        let row6 = row * 6..<row * 6 + 6
        if flag == 0 {
          #expect(result.q.codes[row] == -1 && result.d.values[row] == 0)
          #expect(result.zq.values[row6].allSatisfy { $0 == 0 })
          #expect(z.grad!.values[row6].allSatisfy { $0 == 0 })
          continue
        }
        let place = Self.kept.firstIndex(of: Int32(row))!
        let own6 = place * 6..<place * 6 + 6
        #expect(result.q.codes[row] == expected.q.codes[place])
        #expect(result.d.values[row] == expected.d.values[place])
        #expect(Array(result.zq.values[row6]) == Array(expected.zq.values[own6]))
        #expect(isClose(Array(z.grad!.values[row6]), Array(own.grad!.values[own6]), 1e-6))
      }
    }
    #expect(masked.snapshot == alone.snapshot)
  }

  @Test func aFullMaskIsNone() throws {
    let z = try sample([3, 4, 6], seed: 5)
    let (masked, bare) = (
      try VectorQuant(Variant.all[0].options), try VectorQuant(Variant.all[0].options)
    )
    let mask = try Tensor(codes: (0..<12).map { $0 % 2 == 0 ? 1 : -5 }, shape: [3, 4])
    #expect(try masked.quantize(z, mask: mask).bits == bare.quantize(z).bits)
  }

  @Test func encodeAndFitTakeMasks() throws {
    let (all, kept) = try vectors(seed: 6)
    var values = all.values
    values[2 * 6] = .nan
    let z = try Tensor(values, shape: [12, 6])
    let mask = try Tensor(codes: Self.mask, shape: [12])
    let (masked, alone) = (
      try VectorQuant(Variant.all[0].options), try VectorQuant(Variant.all[0].options)
    )
    try masked.fit(z, mask: mask)
    try alone.fit(kept)
    #expect(masked.snapshot == alone.snapshot)
    let codes = try masked.encode(z, mask: mask).codes
    #expect(Self.kept.map { codes[Int($0)] } == (try alone.encode(kept).codes))
    #expect(codes.filter { $0 == -1 }.count == 4)
  }

  @Test(arguments: [false, true]) func nothingKept(isGroup: Bool) throws {
    let options = Variant.all[0].options
    let layer: Quantizer =
      try isGroup ? GroupVectorQuant(options, groups: 3) : VectorQuant(options)
    let z = try Tensor.full([2, 3, 6], .nan)
    let mask = try Tensor(codes: .init(repeating: 0, count: 6), shape: [2, 3])
    let before = layer.snapshot
    let name = isGroup ? "group_vector_quant" : "vector_quant"
    #expect(
      errorText { try layer.quantize(z, mask: mask) }
        == "[\(name)] mask = 0 of 6 vectors: training needs at least one vector")
    #expect(
      errorText { try layer.fit(z, mask: mask) }
        == "[\(name).fit] mask = 0 of 6 vectors: k-means needs at least one vector")
    layer.isTraining = false
    let result = try layer.quantize(z, mask: mask)
    #expect(result.zq.values == [Float](repeating: 0, count: 36))
    #expect(result.q.codes.allSatisfy { $0 == -1 })
    #expect(result.q.shape == (isGroup ? [2, 3, 3] : [2, 3]))
    #expect(result.stageLosses.shape == [isGroup ? 3 : 1])
    #expect(result.stagePerplexities.shape == [isGroup ? 3 : 1])
    #expect(try result.loss.item() == 0)
    #expect(try layer.encode(z, mask: mask).codes == result.q.codes)
    #expect(try layer.decode(result.q).values == result.zq.values)
    #expect(layer.snapshot == before)
  }

  @Test func refusesOtherMasks() throws {
    let layer = try VectorQuant(Variant.all[0].options)
    let z = try sample([2, 3, 6], seed: 7)
    #expect(
      errorText { try layer.quantize(z, mask: Tensor(codes: [1, 1], shape: [2])) }
        == "[vector_quant] shapes [2] and [2, 3]: "
        + "the mask must have z's shape without the channel axis")
    #expect(
      errorText { try layer.quantize(z, mask: .ones([2, 3])) }
        == "[vector_quant] dtype float32: a mask must be int32 or bool")
    // A kept vector that is not finite is named by its place in z.
    var values = z.values
    values[3 * 6 + 2] = .infinity
    let mask = try Tensor(codes: [0, 1, 0, 1, 1, 1], shape: [2, 3])
    #expect(
      errorText { try layer.quantize(Tensor(values, shape: [2, 3, 6]), mask: mask) }
        == "[vector_quant] z holds inf at flat index 20: every element must be finite")
  }
}
