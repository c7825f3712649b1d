import Testing
import VQTesting

@testable import VQQuantizers

/// Stages at use: limits, dropout, codes and masks of residual quantization.
@Suite struct ResidualStagesTests {
  private func layer(
    stages: Int = 4, isShared: Bool = false, dropout: Float = 0,
    _ change: (inout VectorQuantOptions) -> Void = { _ in }
  ) throws -> ResidualVectorQuant {
    var options = VectorQuantOptions(featureSize: 4, codeCount: 6)
    change(&options)
    return try ResidualVectorQuant(
      options, stages: stages, isShared: isShared, dropout: dropout)
  }

  @Test(arguments: Variant.all, [false, true])
  func decodesItsCodes(variant: Variant, isShared: Bool) throws {
    if isShared && variant.options.codeSize != nil { return }
    let layer = try ResidualVectorQuant(variant.options, stages: 3, isShared: isShared)
    _ = try train(layer, isInplace: variant.isInplace, steps: 2)
    layer.isTraining = false
    let before = layer.snapshot
    let z = try sample([4, 5, 6], seed: 1)
    for stages in 1...3 {
      let result = try layer.quantize(z, stages: stages)
      let codes = try layer.encode(z, stages: stages)
      #expect(codes.shape == [4, 5, stages])
      #expect(codes.codes == result.q.codes)
      #expect(try layer.decode(codes).values == result.zq.values)
      #expect(result.stageLosses.shape == [stages])
    }
    #expect(layer.snapshot == before)
  }

  @Test(arguments: [1, 2, 3, 4]) func limitedStagesAreTheFirst(stages: Int) throws {
    let layer = try layer()
    let z = try sample([9, 4], seed: 2)
    let (some, all) = (try layer.quantize(z, stages: stages), try layer.quantize(z))
    #expect(some.q.shape == [9, stages])
    #expect(some.q.codes == (try all.q.slice(axis: 1, from: 0, to: stages).codes))
    #expect(some.stageLosses.values == Array(all.stageLosses.values[..<stages]))
    #expect(
      errorText { try layer.quantize(z, stages: 5) }
        == "[residual_vector_quant] stages = 5: must be in 1...4")
    #expect(
      errorText { try layer.decode(Tensor(codes: [0, 0, 0, 0, 0], shape: [1, 5])) }
        == "[residual_vector_quant.decode] shape [1, 5]: the last axis must be 4 codes")
  }

  @Test func stagesThatAreNotUsedDoNotTrain() throws {
    let layer = try layer { ($0.start, $0.replaceFrequency) = (.kMeans, 1) }
    let z = try sample([30, 4], seed: 3)
    let result = try layer.quantize(z, stages: 2)
    try result.loss.backward()
    #expect(layer.layers.map { $0.kMeans.initialized.codes[0] } == [1, 1, 0, 0])
    #expect(layer.layers.map { $0.codebook.grad != nil } == [true, true, false, false])
    let before = layer.layers[2].snapshot + layer.layers[3].snapshot
    _ = try layer.quantize(z, stages: 2)
    #expect(layer.layers[2].snapshot + layer.layers[3].snapshot == before)
  }

  @Test func missingStagesDecodeAsNothing() throws {
    let layer = try layer()
    let codes = try Tensor(codes: [1, 2, -1, -1, 3, -1, -1, -1], shape: [2, 4])
    let books = layer.layers.map(\.codebook.values)
    let first = (0..<4).map { books[0][4 + $0] + books[1][8 + $0] }
    #expect(try layer.decode(codes).values == first + Array(books[0][12..<16]))
    #expect(
      try layer.decode(codes.slice(axis: 1, from: 0, to: 2)).values == layer.decode(codes).values)
  }

  // MARK: Dropout

  /// Stages used by each of `count` training forwards.
  private func used(_ layer: ResidualVectorQuant, _ count: Int) throws -> [Int] {
    let z = try sample([2, 4], seed: 4)
    return try (0..<count).map { _ in
      let result = try layer.quantize(z)
      #expect(result.q.shape == [2, layer.stages])
      #expect(try layer.decode(result.q).values == result.zq.values)
      let used = result.q.codes.prefix(layer.stages).filter { $0 >= 0 }.count
      // Used stages come first; the others have neither code nor distance.
      #expect(result.q.codes[..<used].allSatisfy { $0 >= 0 })
      #expect(result.d.values[used..<layer.stages].allSatisfy { $0 == 0 })
      #expect(result.stageLosses.shape == [used])
      return used
    }
  }

  /// Every number of stages with probability p / 4, all of them with 1 - p more.
  @Test(arguments: [Float(0.5), 1]) func dropoutDrawsEveryNumberAlike(p: Float) throws {
    let n = 800
    let used = try used(layer(dropout: p), n)
    for stages in 1...4 {
      let share = Double(p) / 4 + (stages == 4 ? 1 - Double(p) : 0)
      let count = Double(used.filter { $0 == stages }.count)
      // Five standard deviations of a binomial number.
      #expect(abs(count - Double(n) * share) < 5 * (Double(n) * share * (1 - share)).squareRoot())
    }
  }

  @Test func dropoutResumesFromAState() throws {
    let whole = try layer(dropout: 1)
    _ = try used(whole, 5)
    let state = try whole.state.map { ($0.name, try $0.tensor.copied()) }
    let rest = try used(whole, 30)
    let resumed = try layer(dropout: 1) { $0.seed = 5 }
    try resumed.load(state: state)
    #expect(try used(resumed, 30) == rest)
    #expect(Set(rest).count == 4)
  }

  @Test func evaluationUsesEveryStage() throws {
    let layer = try layer(dropout: 1)
    layer.isTraining = false
    let before = layer.snapshot
    #expect(try used(layer, 20) == [Int](repeating: 4, count: 20))
    #expect(layer.snapshot == before)
    layer.isTraining = true
    layer.isQuantizing = false
    #expect(try layer.quantize(sample([2, 4], seed: 5)).q.codes.allSatisfy { $0 >= 0 })
    #expect(layer.snapshot == before)
  }

  @Test(arguments: [Float(-0.1), 1.5, .nan]) func refusesProbabilities(p: Float) {
    #expect(
      errorText { try layer(dropout: p) }
        == "[residual_vector_quant] quantizer_dropout = \(p): must be in 0...1")
  }

  // MARK: Masks, errors of approximation

  @Test(arguments: [false, true], [VectorNorm.none, .batch, .instance])
  func masksLeaveVectorsOut(isShared: Bool, norm: VectorNorm) throws {
    func make() throws -> ResidualVectorQuant {
      try layer(isShared: isShared) {
        ($0.emaDecay, $0.replaceFrequency, $0.start) = (0.8, 1, .kMeans)
        $0.norm = norm
      }
    }
    let (masked, alone) = (try make(), try make())
    let z = try sample([1, 6, 4], seed: 6)
    var values = z.values
    values[5] = .infinity
    let mask = try Tensor(codes: [1, 0, 1, 1, 0, 1], shape: [1, 6])
    for _ in 0..<3 {
      let result = try masked.quantize(Tensor(values, shape: [1, 6, 4]), mask: mask)
      let kept = try alone.quantize(
        z.reshape([6, 4]).gatherRows(Tensor(codes: [0, 2, 3, 5], shape: [4])).reshape([1, 4, 4]))
      #expect(try result.loss.item() == kept.loss.item())
      #expect(Array(result.q.codes[4..<8]) == [-1, -1, -1, -1])
      #expect(Array(result.zq.values[4..<8]) == [0, 0, 0, 0])
      #expect(Array(result.zq.values[8..<16]) == Array(kept.zq.values[4..<12]))
      #expect(try masked.decode(result.q).shape == [1, 6, 4])
    }
    #expect(masked.snapshot == alone.snapshot)
  }

  /// A code at 0 can always leave the residual as it is.
  @Test(arguments: [false, true]) func residualsDoNotGrowWithAZeroCode(isShared: Bool) throws {
    let layer = try layer(stages: 6, isShared: isShared)
    for own in layer.layers {
      own.codebook.setValues([0, 0, 0, 0] + own.codebook.values[4...])
    }
    let d = try layer.quantize(sample([50, 4], seed: 7)).d.values
    for row in 0..<50 {
      for stage in 1..<6 { #expect(d[row * 6 + stage] <= d[row * 6 + stage - 1]) }
    }
  }

  /// A shared codebook is set on the vectors, own ones each on what the stages before leave.
  @Test func fitSetsStagesOneAfterTheOther() throws {
    let layer = try layer { $0.codeCount = 12 }
    let z = try sample([300, 4], seed: 8, mean: 10)
    try layer.fit(z)
    layer.isTraining = false
    let losses = try layer.quantize(z).stageLosses.values
    #expect(losses[0] < 0.7 && losses == losses.sorted(by: >))
    #expect(layer.layers.allSatisfy { $0.kMeans.initialized.codes == [1] })
  }
}
