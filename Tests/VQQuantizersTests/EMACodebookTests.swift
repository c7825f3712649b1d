import Testing
import VQTesting

@testable import VQQuantizers

@Suite struct EMACodebookTests {
  @Test func handValue() throws {
    let layer = try layer(VectorQuantTests.handCodes, width: 2) {
      $0.emaDecay = 0.8
      $0.emaEpsilon = 1e-5
    }
    let result = try layer.quantize(Tensor([1, 2, 3, -1, 0.1, 0.5], shape: [3, 2]))
    #expect(result.q.codes == [0, 1, 0])
    // The values are those before the update.
    #expect(result.zq.values == [1, 1, 2, 0, 1, 1])
    let statistics = try #require(layer.book.statistics)
    #expect(isClose(statistics.counts.values, [1.2, 1, 0.8, 0.8], 1e-7))
    #expect(isClose(statistics.sums.values, [1.02, 1.3, 2.2, -0.2, -0.8, 0, 0, 2.4], 1e-7))
    #expect(isClose(Array(layer.codebook.values[..<2]), [0.8500018, 1.0833356], 1e-7))
    // Smoothed counts N_j = (counts_j + 1e-5) / (3.8 + 4e-5) 3.8 of the two that have vectors.
    let counts = [1.2, 1]
    let sums = [1.02, 1.3, 2.2, -0.2]
    let expected = sums.indices.map { index in
      Float(sums[index] / ((counts[index / 2] + 1e-5) / (3.8 + 4e-5) * 3.8))
    }
    #expect(isClose(Array(layer.codebook.values[..<4]), expected, 2e-7))
    #expect(Array(layer.codebook.values[4...]) == Array(VectorQuantTests.handCodes[4...]))
  }

  /// A.2: without smoothing and with one vector a code, each step is gradient descent on the
  /// commitment loss at beta = 1 with rate 1 - decay per code.
  @Test(arguments: [Float(0.5), 0.9, 0.99]) func equalsGradientDescent(decay: Float) throws {
    let start: [Float] = [0, 0, 10, 0, 0, 20]
    let averaged = try layer(start, width: 2) {
      $0.emaDecay = decay
      $0.emaEpsilon = 0
    }
    let learned = try layer(start, width: 2) { $0.beta = 1 }
    // The gradient of the mean over 6 elements is 2 / 6 (C - z).
    let optimizer = try SGD([learned.codebook], learningRate: Double(1 - decay) * 3)
    for step in 0..<6 {
      let noise = try sample([3, 2], seed: UInt64(step)).values
      let z = try Tensor(zip(start, noise).map { $0 + $1 }, shape: [3, 2])
      #expect(try averaged.quantize(z).q.codes == [0, 1, 2])
      optimizer.zeroGrad()
      try learned.quantize(z).loss.backward()
      try optimizer.step()
      // Values up to 20 and a few roundings a step.
      #expect(isClose(averaged.codebook.values, learned.codebook.values, 1e-6))
    }
    #expect(isClose(averaged.book.statistics!.counts.values, [1, 1, 1], 1e-6))
  }

  @Test func manualUpdateTakesAllBatchesSinceTheLast() throws {
    let z = try sample([40, 2], seed: 1)
    let whole = try layer(VectorQuantTests.handCodes, width: 2) { $0.emaDecay = 0.9 }
    _ = try whole.quantize(z)
    let manual = try layer(VectorQuantTests.handCodes, width: 2) {
      $0.emaDecay = 0.9
      $0.emaManual = true
    }
    let first = try manual.quantize(z.slice(axis: 0, from: 0, to: 15))
    #expect(manual.codebook.values == VectorQuantTests.handCodes)
    #expect(try manual.decode(first.q).values == first.zq.values)

    // What waits survives a checkpoint.
    let resumed = try VectorQuant(manual.options)
    try resumed.load(state: manual.state)
    _ = try resumed.quantize(z.slice(axis: 0, from: 15, to: 40))
    try resumed.update()
    #expect(isClose(resumed.codebook.values, whole.codebook.values, 1e-6))
    let (own, other) = (resumed.book.statistics!, whole.book.statistics!)
    #expect(isClose(own.counts.values, other.counts.values, 1e-6))
    #expect(isClose(own.sums.values, other.sums.values, 1e-6))
    #expect(own.pendingCounts.values.allSatisfy { $0 == 0 })
    #expect(own.pendingSums.values.allSatisfy { $0 == 0 })
  }

  @Test func replacedCodesRestartTheirStatistics() throws {
    let layer = try layer([0, 10, 20], width: 1) {
      $0.emaDecay = 0.5
      $0.replaceFrequency = 2
    }
    let z = try Tensor([1, 9], shape: [2, 1])
    _ = try layer.quantize(z)
    #expect(layer.book.statistics!.counts.values[2] == 0.5)
    _ = try layer.quantize(z)
    let replaced = layer.codebook.values[2]
    #expect([1, 9].contains { abs(replaced - $0) <= 0.05 * $0 })
    #expect(layer.book.statistics!.counts.values == [1, 1, 1])
    #expect(layer.book.statistics!.sums.values[2] == replaced)
  }

  @Test func replacementForgetsWhatWaits() throws {
    let layer = try layer([0, 10, 20], width: 1) {
      $0.emaDecay = 0.5
      $0.emaManual = true
      $0.replaceFrequency = 2
    }
    for batch in [[0, 20], [0, 10], [0, 10]] as [[Float]] {
      _ = try layer.quantize(Tensor(batch, shape: [2, 1]))
    }
    // Code 2 waits with one vector when it is replaced.
    #expect(layer.book.statistics!.pendingCounts.values == [3, 2, 0])
    #expect(layer.book.statistics!.pendingSums.values[2] == 0)
  }

  @Test func kMeansStartsWithTheSizesOfItsClusters() throws {
    var options = VectorQuantOptions(featureSize: 2, codeCount: 6)
    options.emaDecay = 0.99
    options.emaManual = true
    options.start = .kMeans
    let layer = try VectorQuant(options)
    let result = try layer.quantize(sample([90, 2], seed: 2))
    let sizes = (0..<6).map { code in Float(result.q.codes.filter { $0 == code }.count) }
    let statistics = try #require(layer.book.statistics)
    #expect(statistics.counts.values == sizes)
    let centers = layer.codebook.values
    #expect(
      isClose(
        statistics.sums.values, centers.indices.map { centers[$0] * sizes[$0 / 2] }, 1e-6))
  }

  /// In raw space the update is that of the mapped-back vectors; without smoothing E moves to
  /// `(decay E + (1 - decay) sum z) / (decay + (1 - decay) n)`.
  @Test(arguments: [AffineForm.learned, .ema], [1, 2])
  func updatesInRawSpaceUnderAffineMaps(form: AffineForm, groups: Int) throws {
    let decay: Float = 0.8
    let layer = try layer(VectorQuantTests.handCodes, width: 2) {
      $0.emaDecay = decay
      $0.emaEpsilon = 0
      $0.affine = form
      $0.affineLearningRate = form == .learned ? 2 : 0
      $0.affineGroups = groups
    }
    layer.affineScale?.setValues(Array([0.3, -0.2, 0.1, 0.4].prefix(2 * groups)))
    layer.affineBias?.setValues(Array([1, -1, 0.5, 2].prefix(2 * groups)))
    let z = try sample([60, 2], seed: 3, mean: 4, scale: 2)
    let result = try layer.quantize(z)
    let map = try #require(try layer.book.map.affine())
    let (factor, offset) = (map.factor.values, map.offset.values)
    func effective(_ raw: [Float]) -> [Float] {
      raw.indices.map { index in
        let place = index / (8 / groups) * 2 + index % 2
        return factor[place] * raw[index] + offset[place]
      }
    }
    var sums = effective(VectorQuantTests.handCodes).map { decay * $0 }
    var counts = [Float](repeating: decay, count: 4)
    for (row, code) in result.q.codes.enumerated() {
      counts[Int(code)] += 1 - decay
      for l in 0..<2 { sums[Int(code) * 2 + l] += (1 - decay) * z.values[row * 2 + l] }
    }
    let expected = sums.indices.map { sums[$0] / counts[$0 / 2] }
    #expect(result.activeCodes >= 2)
    #expect(isClose(try layer.effectiveCodebook().values, expected, 2e-5))
    #expect(isClose(layer.book.statistics!.counts.values, counts, 1e-6))
  }

  /// A code that no vector takes has the mean that it had, though its weight vanishes.
  @Test(arguments: [Float(0), 1e-5, 0.1]) func unusedCodesStay(smoothing: Float) throws {
    let layer = try layer([0, 0.3, 0.7], width: 1) {
      $0.emaDecay = 0.5
      $0.emaEpsilon = smoothing
    }
    for _ in 0..<400 { _ = try layer.quantize(Tensor([-1], shape: [1, 1])) }
    #expect(Array(layer.codebook.values[1...]) == [0.3, 0.7])
    let statistics = try #require(layer.book.statistics)
    for (code, place) in [(1, Float(0.3)), (2, 0.7)] {
      let (count, sum) = (statistics.counts.values[code], statistics.sums.values[code])
      #expect(count > 0 && isClose([sum / count], [place], 1e-6))
    }
    guard smoothing == 0 else { return }
    #expect(layer.codebook.values[0] == -1)
    // A vector that comes again takes the code whole.
    _ = try layer.quantize(Tensor([0.8], shape: [1, 1]))
    #expect(isClose(layer.codebook.values, [-1, 0.3, 0.8], 1e-6))
  }

  /// A sum above the largest float32 pulls at nothing; it must not stay in the statistics for good.
  @Test(arguments: [false, true]) func overflowIsForgotten(isAffine: Bool) throws {
    let layer = try layer([2e38, -1], width: 1) {
      $0.emaDecay = 0.5
      $0.affineLearningRate = isAffine ? 1 : 0
    }
    _ = try layer.quantize(Tensor([3e38, 3e38], shape: [2, 1]))
    #expect(layer.state.allSatisfy { $0.tensor.values.allSatisfy { $0.isFinite } })
    #expect(isClose([layer.codebook.values[0] / 2e38], [1], 1e-4))
    for _ in 0..<30 { _ = try layer.quantize(Tensor([1e38], shape: [1, 1])) }
    #expect(isClose([layer.codebook.values[0] / 1e38], [1], 1e-3))
  }

  @Test func evaluationAndFreezingLeaveStatistics() throws {
    let layer = try layer(VectorQuantTests.handCodes, width: 2) { $0.emaDecay = 0.5 }
    let before = layer.snapshot
    let z = try sample([9, 2], seed: 4)
    layer.isFrozen = true
    _ = try layer.quantize(z)
    #expect(layer.snapshot == before)
    #expect(
      errorText { try layer.update() }
        == "[vector_quant.update] the codebook is frozen: unfreeze it first")
    layer.isFrozen = false
    layer.isTraining = false
    _ = try layer.quantize(z)
    #expect(layer.snapshot == before)
    layer.isTraining = true
    _ = try layer.quantize(z)
    #expect(layer.snapshot != before)
  }

  @Test func takesNoGradient() throws {
    let layer = try layer(VectorQuantTests.handCodes, width: 2) {
      $0.emaDecay = 0.5
      $0.beta = 0.25
      $0.affineLearningRate = 1
    }
    let z = try Tensor(VectorQuantTests.handVectors, shape: [3, 2]).requiringGrad()
    let result = try layer.quantize(z)
    try (result.zq.sum() + result.loss).backward()
    try layer.decode(result.q).sum().backward()
    #expect(layer.codebook.grad == nil)
    #expect(layer.affineScale?.grad != nil)
    #expect(layer.trainableParameters.map(\.name) == ["affine_scale", "affine_bias"])
    // 1 and 0.75 * 2 (z - z_q) / 6.
    let pull = zip(z.values, result.zq.values).map { 1 + 0.25 * ($0 - $1) }
    #expect(isClose(z.grad!.values, pull, 1e-6))
  }

  @Test func refusesAnInPlaceOptimizer() throws {
    let layer = try layer([0, 1], width: 1) { $0.emaDecay = 0.5 }
    layer.inplaceOptimizer = try SGD([layer.codebook], learningRate: 1)
    #expect(
      errorText { try layer.quantize(Tensor([0], shape: [1, 1])) }
        == "[vector_quant] an EMA codebook has no gradient: "
        + "inplace_optimizer and ema_decay exclude each other")
    let plain = try VectorQuant(VectorQuantOptions(featureSize: 1, codeCount: 2))
    #expect(
      errorText { try plain.update() }
        == "[vector_quant.update] only an EMA codebook has an update: ema_decay is 0")
  }

  @Test func lossFalls() throws {
    var options = VectorQuantOptions(featureSize: 4, codeCount: 16)
    options.emaDecay = 0.8
    let layer = try VectorQuant(options)
    let z = try sample([256, 4], seed: 5)
    let losses = try (0..<20).map { _ in try layer.quantize(z).loss.item() }
    #expect(losses.last! < 0.8 * losses.first!)
  }
}
