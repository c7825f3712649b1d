import Testing
import VQTesting

@testable import VQQuantizers

@Suite struct AffineMomentsTests {
  private func layer(
    groups: Int = 1, momentum: Float = 0.1, _ change: (inout VectorQuantOptions) -> Void = { _ in }
  ) throws -> VectorQuant {
    var options = VectorQuantOptions(featureSize: 3, codeCount: 12)
    options.affine = .ema
    options.affineGroups = groups
    options.affineMomentum = momentum
    change(&options)
    return try VectorQuant(options)
  }

  /// Mean and biased variance of each column of each of `groups` blocks of rows, in Float64.
  private func moments(
    _ x: Tensor, groups: Int = 1
  ) -> (mean: [Double], variance: [Double]) {
    let (d, rows) = (x.shape[1], x.shape[0] / groups)
    let values = x.values.map(Double.init)
    var result: (mean: [Double], variance: [Double]) = ([], [])
    for group in 0..<groups {
      for l in 0..<d {
        let column = (0..<rows).map { values[(group * rows + $0) * d + l] }
        let mean = column.reduce(0, +) / Double(rows)
        result.mean.append(mean)
        result.variance.append(
          column.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(rows))
      }
    }
    return result
  }

  /// The first batch is copied, later ones enter as `m new + (1 - m) old`.
  @Test(arguments: [1, 3], [Float(0.01), 0.25, 1])
  func runningMoments(groups: Int, momentum: Float) throws {
    let layer = try layer(groups: groups, momentum: momentum)
    let m = Double(momentum)
    var expected: [[Double]] = []
    for step in 0..<4 {
      // A small batch, whose biased variance is 4/5 of the unbiased.
      let z = try sample([5, 3], seed: UInt64(step), mean: Float(step) - 7, scale: 2)
      layer.codebook.setValues(try sample([12, 3], seed: UInt64(10 + step)).values)
      let (vectors, codes) = (moments(z), moments(layer.codebook, groups: groups))
      _ = try layer.quantize(z)
      let new = [vectors.mean, vectors.variance, codes.mean, codes.variance]
      expected =
        step == 0
        ? new
        : zip(expected, new).map { old, new in zip(old, new).map { (1 - m) * $0 + m * $1 } }
      let own = try #require(layer.book.map.moments)
      let running = [own.vectorMean, own.vectorVariance, own.codeMean, own.codeVariance]
      for (tensor, reference) in zip(running, expected) {
        #expect(isClose(tensor.values, reference.map(Float.init), 2e-6))
      }
      let map = try #require(try own.map())
      let scale = (0..<3 * groups).map { place in
        (expected[1][place % 3] / (expected[3][place] + 1e-8)).squareRoot()
      }
      #expect(isClose(map.factor.values, scale.map(Float.init), 2e-6))
      let bias = (0..<3 * groups).map { place in
        expected[0][place % 3] - scale[place] * expected[2][place]
      }
      #expect(isClose(map.offset.values, bias.map(Float.init), 1e-5))
    }
  }

  @Test(arguments: [1, 3]) func codesGetTheMomentsOfTheVectors(groups: Int) throws {
    let layer = try layer(groups: groups, momentum: 1)
    for step in 0..<2 {
      let z = try sample([200, 3], seed: UInt64(step), mean: 30 - 20 * Float(step), scale: 3)
      _ = try layer.quantize(z)
      let (vectors, codes) = (moments(z), moments(try layer.effectiveCodebook(), groups: groups))
      for place in 0..<3 * groups {
        #expect(abs(codes.mean[place] - vectors.mean[place % 3]) < 1e-4)
        #expect(abs(codes.variance[place] - vectors.variance[place % 3]) < 1e-3)
      }
    }
  }

  @Test func identityBeforeTheFirstBatch() throws {
    let layer = try layer()
    #expect(try layer.effectiveCodebook().values == layer.codebook.values)
    layer.isTraining = false
    let z = try sample([7, 3], seed: 1)
    let plain = try VectorQuant(VectorQuantOptions(featureSize: 3, codeCount: 12))
    #expect(try layer.quantize(z).zq.values == plain.quantize(z).zq.values)
  }

  @Test(arguments: [1, 3]) func gradientGoesThroughTheScale(groups: Int) throws {
    let layer = try layer(groups: groups)
    _ = try layer.quantize(sample([50, 3], seed: 2, mean: 2, scale: 3))
    try checkGradient(
      of: {
        try layer.book.effective(of: $0[0], mapIsTrained: true)
      }, at: [gridSample([12, 3], seed: 3)])
    let weights = try sample([12, 3], seed: 4)
    try layer.effectiveCodebook().backward(weights)
    let scale = try #require(try layer.book.map.moments?.map()).factor.values
    let expected = weights.values.indices.map { index in
      weights.values[index] * scale[index / (36 / groups) * 3 + index % 3]
    }
    #expect(isClose(layer.codebook.grad!.values, expected, 1e-6))
    #expect(layer.trainableParameters.map(\.name) == ["codebook"])
  }

  @Test func evaluationFreezingAndPassingThroughChangeNothing() throws {
    let layer = try layer()
    _ = try layer.quantize(sample([20, 3], seed: 5))
    let before = layer.snapshot
    let z = try sample([20, 3], seed: 6, mean: 9)
    layer.isTraining = false
    _ = try layer.quantize(z)
    _ = try layer.encode(z)
    #expect(layer.snapshot == before)
    layer.isTraining = true
    layer.isFrozen = true
    _ = try layer.quantize(z)
    #expect(layer.snapshot == before)
    layer.isFrozen = false
    layer.isQuantizing = false
    _ = try layer.quantize(z)
    #expect(layer.snapshot == before)
  }

  /// k-means writes the centers, then the map gives them the vectors' moments.
  @Test func kMeansStartThenMoments() throws {
    let layer = try layer { $0.start = .kMeans }
    let z = try sample([300, 3], seed: 7, mean: 50, scale: 4)
    let result = try layer.quantize(z)
    #expect(result.activeCodes == 12)
    let (vectors, codes) = (moments(z), moments(try layer.effectiveCodebook()))
    for l in 0..<3 {
      #expect(abs(codes.mean[l] - vectors.mean[l]) < 1e-3)
      #expect(abs(codes.variance[l] / vectors.variance[l] - 1) < 1e-4)
    }
    // 12 codes leave less than half of the variance of 3 dimensions.
    #expect(try result.loss.item() < 8)
  }

  @Test(arguments: [1, 3]) func replacementLandsOnTheData(groups: Int) throws {
    let layer = try layer(groups: groups) { $0.replaceFrequency = 1 }
    var replaced: [Int] = []
    layer.codebook.leaf!.rowObservers.append { replaced = $0 }
    let z = try sample([3, 3], seed: 8, mean: 100, scale: 5)
    _ = try layer.quantize(z)
    #expect(replaced.count >= 9)
    let effective = try layer.effectiveCodebook().values
    for code in replaced {
      let isNear = (0..<3).contains { row in
        // Noise of 0.01 |v| / sqrt(3) an element, |v| about 173: within 5 standard deviations.
        (0..<3).allSatisfy { abs(effective[code * 3 + $0] - z.values[row * 3 + $0]) < 5.5 }
      }
      #expect(isNear, "code \(code)")
    }
  }

  /// One vector has the biased variance 0.
  @Test func oneVector() throws {
    let layer = try layer(momentum: 0.5)
    let z = try Tensor([3, -4, 5], shape: [1, 3])
    let result = try layer.quantize(z)
    #expect(isClose(result.zq.values, z.values, 1e-6))
    #expect(layer.book.map.moments!.vectorVariance.values == [0, 0, 0])
    let next = try layer.quantize(sample([30, 3], seed: 9))
    #expect(next.activeCodes > 1)
    #expect(layer.state.allSatisfy { $0.tensor.values.allSatisfy { $0.isFinite } })
  }

  /// A variance above the largest float32 would stay in the running moments for good.
  @Test func refusesMomentsThatOverflow() throws {
    let layer = try layer()
    _ = try layer.quantize(sample([20, 3], seed: 11))
    let before = layer.snapshot
    #expect(
      errorText { try layer.quantize(sample([20, 3], seed: 12, scale: 1e25)) }
        == "[vector_quant] affine_vector_variance holds inf at flat index 0: "
        + "every element must be finite")
    #expect(layer.snapshot == before)
  }

  /// What cannot be quantized leaves the moments as they were.
  @Test func refusesACodebookThatIsNotFinite() throws {
    let layer = try layer()
    let z = try sample([20, 3], seed: 10)
    _ = try layer.quantize(z)
    let good = layer.codebook.values
    layer.codebook.setValues([.nan] + good[1...])
    let before = layer.snapshot
    #expect(
      errorText { try layer.quantize(z) }
        == "[vector_quant] codebook holds nan at flat index 0: every element must be finite")
    #expect(layer.snapshot == before)
  }
}
