import Testing
import VQTesting

@testable import VQQuantizers

@Suite struct GroupVectorQuantTests {
  private func layer(
    groups: Int = 3, isShared: Bool = false,
    _ change: (inout VectorQuantOptions) -> Void = { _ in }
  ) throws -> GroupVectorQuant {
    var options = VectorQuantOptions(featureSize: 6, codeCount: 8)
    change(&options)
    return try GroupVectorQuant(options, groups: groups, isShared: isShared)
  }

  @Test(arguments: Variant.all, [false, true])
  func oneGroupEqualsThePlainLayer(variant: Variant, isShared: Bool) throws {
    let plain = try VectorQuant(variant.options)
    let group = try GroupVectorQuant(variant.options, groups: 1, isShared: isShared)
    let expected = try train(plain, isInplace: variant.isInplace)
    #expect(try train(group, isInplace: variant.isInplace) == expected)
    #expect(group.plainSnapshot == plain.plainSnapshot)
  }

  /// A shared codebook is a plain layer over the parts of every vector.
  @Test(arguments: [false, true]) func sharedCodebookTakesEveryPart(isInplace: Bool) throws {
    let shared = try layer(isShared: true) {
      ($0.syncNu, $0.replaceFrequency, $0.start) = (0.5, 2, .kMeans)
    }
    var options = shared.options
    options.featureSize = 2
    let plain = try VectorQuant(options)
    if isInplace {
      try shared.stepInPlace()
      try plain.stepInPlace()
    }
    for step in 0..<4 {
      let z = try sample([15, 6], seed: UInt64(step))
      let result = try shared.quantize(z)
      let parts = try plain.quantize(z.reshape([15, 3, 2]))
      #expect(result.zq.values == parts.zq.values)
      #expect(result.q.codes == parts.q.codes)
      #expect(result.q.shape == [15, 3])
      #expect(result.d.values == parts.d.values)
      #expect(try result.loss.item() == parts.loss.item())
      try (result.zq.square().sum() + result.loss).backward()
      try (parts.zq.square().sum() + parts.loss).backward()
      #expect(shared.layers[0].codebook.grad!.values == plain.codebook.grad!.values)
    }
    #expect(shared.plainSnapshot == plain.plainSnapshot)
  }

  /// The loss is the mean over groups: what whole vectors' mean squared error is.
  @Test func ownCodebooksArePlainLayersOfTheirChannels() throws {
    let layer = try layer { $0.beta = 0.6 }
    let z = try sample([20, 6], seed: 3).requiringGrad()
    let result = try layer.quantize(z)
    try result.loss.backward()
    #expect(result.stageLosses.shape == [3])
    #expect(result.stagePerplexities.shape == [3])
    for (group, own) in layer.layers.enumerated() {
      let plain = try VectorQuant(own.options)
      let part = try z.detached().slice(axis: 1, from: 2 * group, to: 2 * group + 2)
        .requiringGrad()
      let expected = try plain.quantize(part)
      try expected.loss.backward()
      #expect(
        try result.zq.slice(axis: 1, from: 2 * group, to: 2 * group + 2).values
          == expected.zq.values)
      #expect(
        try result.q.slice(axis: 1, from: group, to: group + 1).codes == expected.q.codes)
      #expect(try result.stageLosses.values[group] == expected.loss.item())
      #expect(result.stagePerplexities.values[group] == expected.perplexity)
      let third = plain.codebook.grad!.values.map { $0 / 3 }
      #expect(isClose(own.codebook.grad!.values, third, 1e-7))
      let inZ = try z.grad!.slice(axis: 1, from: 2 * group, to: 2 * group + 2).values
      #expect(isClose(inZ, part.grad!.values.map { $0 / 3 }, 1e-7))
    }
    let mean = zip(z.values, result.zq.values).reduce(0.0) {
      $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) / 120
    }
    #expect(abs(try Double(result.loss.item()) - mean) < 1e-6)
    #expect(abs(Double(result.commitmentLoss) - 0.4 * mean) < 1e-6)
    #expect(abs(Double(result.codebookLoss) - 0.6 * mean) < 1e-6)
  }

  @Test func groupsStartWithDifferentCodes() throws {
    let layer = try layer()
    let starts = layer.layers.map(\.codebook.values)
    #expect(Set(starts).count == 3)
    #expect(try self.layer().layers.map(\.codebook.values) == starts)
    #expect(try self.layer { $0.seed = 1 }.layers.map(\.codebook.values) != starts)
    let direct = try VectorQuant(layer.layers[0].options)
    #expect(direct.codebook.values == starts[0])
  }

  @Test(arguments: [false, true]) func decodesItsCodes(isShared: Bool) throws {
    let layer = try layer(isShared: isShared) { ($0.codeSize, $0.norm) = (3, .l2) }
    layer.isTraining = false
    let z = try sample([4, 5, 6], seed: 4)
    let result = try layer.quantize(z)
    let codes = try layer.encode(z)
    #expect(codes.shape == [4, 5, 3])
    #expect(codes.codes == result.q.codes)
    #expect(try layer.decode(codes).values == result.zq.values)
    // A group without code gives 0 in its channels.
    let some = try Tensor(codes: [1, -1, 2], shape: [3])
    let whole = try Tensor(codes: [1, 5, 2], shape: [3])
    let values = try layer.decode(whole).values
    #expect(
      isClose(
        try layer.decode(some).values, Array(values[..<2]) + [0, 0] + Array(values[4...]), 1e-6))
    #expect(
      errorText { try layer.decode(Tensor(codes: [0, 0], shape: [1, 2])) }
        == "[group_vector_quant.decode] shape [1, 2]: the last axis must be 3 codes")
  }

  @Test(arguments: [false, true]) func inPlaceStepsMoveEveryCodebook(isShared: Bool) throws {
    let layer = try layer(isShared: isShared)
    try layer.stepInPlace()
    let before = layer.layers.map(\.codebook.values)
    let z = try sample([20, 6], seed: 5)
    let losses = try (0..<10).map { _ in try layer.quantize(z).loss.item() }
    for (own, old) in zip(layer.layers, before) { #expect(own.codebook.values != old) }
    #expect(losses.last! < losses.first!)
    #expect(layer.trainableParameters.isEmpty)
  }

  @Test(arguments: [false, true], [VectorNorm.none, .batch])
  func masksLeaveVectorsOut(isShared: Bool, norm: VectorNorm) throws {
    func make() throws -> GroupVectorQuant {
      try layer(isShared: isShared) {
        ($0.emaDecay, $0.replaceFrequency, $0.start) = (0.8, 1, .kMeans)
        $0.norm = norm
      }
    }
    let (masked, alone) = (try make(), try make())
    let z = try sample([6, 6], seed: 6)
    var values = z.values
    values[7] = .nan
    let mask = try Tensor(codes: [1, 0, 1, 1, 0, 1], shape: [6])
    for _ in 0..<3 {
      let result = try masked.quantize(Tensor(values, shape: [6, 6]), mask: mask)
      let kept = try alone.quantize(z.gatherRows(Tensor(codes: [0, 2, 3, 5], shape: [4])))
      #expect(try result.loss.item() == kept.loss.item())
      #expect(Array(result.q.codes[3..<6]) == [-1, -1, -1])
      #expect(Array(result.zq.values[6..<12]) == [Float](repeating: 0, count: 6))
      #expect(Array(result.zq.values[12..<24]) == Array(kept.zq.values[6..<18]))
    }
    #expect(masked.snapshot == alone.snapshot)
  }

  @Test func resumesFromAnotherSeed() throws {
    let first = try layer { ($0.emaDecay, $0.replaceFrequency) = (0.8, 1) }
    _ = try first.quantize(sample([9, 6], seed: 7))
    let second = try layer { ($0.emaDecay, $0.replaceFrequency, $0.seed) = (0.8, 1, 9) }
    try second.load(state: first.state)
    let z = try sample([9, 6], seed: 8)
    #expect(try second.quantize(z).bits == first.quantize(z).bits)
    #expect(second.snapshot == first.snapshot)
  }

  @Test(arguments: [4, 7]) func refusesGroupsThatDoNotDivide(groups: Int) {
    #expect(
      errorText { try layer(groups: groups) }
        == "[group_vector_quant] groups = \(groups): must divide feature_size = 6")
  }

  @Test(arguments: [0, -1, 1 << 17]) func refusesSoManyGroups(groups: Int) {
    #expect(
      errorText { try layer(groups: groups) }
        == "[group_vector_quant] groups = \(groups): must be in 1...65536")
  }

  @Test(arguments: [false, true]) func instanceNormNeedsPositions(isShared: Bool) throws {
    let layer = try layer(isShared: isShared) { $0.norm = .instance }
    #expect(
      errorText { try layer.quantize(sample([5, 6], seed: 9)) }
        == "[vector_quant] shape [5]: statistics of a sample need an axis of positions: "
        + "z must be [samples, positions..., d]")
    #expect(try layer.quantize(sample([2, 5, 6], seed: 9)).zq.shape == [2, 5, 6])
  }

  @Test func moreGroupsDescribeMore() throws {
    let z = try sample([400, 6], seed: 10)
    let losses = try [1, 2, 3, 6].map { groups in
      let layer = try layer(groups: groups) { $0.start = .kMeans }
      return try layer.quantize(z).loss.item()
    }
    #expect(losses == losses.sorted(by: >))
  }
}
