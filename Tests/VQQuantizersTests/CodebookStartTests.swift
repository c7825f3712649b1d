import Testing

@testable import VQQuantizers

@Suite struct CodebookStartTests {
  private func layer(
    _ start: CodebookStart, _ k: Int, _ d: Int, seed: UInt64 = 0
  ) throws -> VectorQuant {
    var options = VectorQuantOptions(featureSize: d, codeCount: k)
    (options.start, options.seed) = (start, seed)
    return try VectorQuant(options)
  }

  /// Mean and mean square of the elements within five standard errors, `fourth` their fourth
  /// moment.
  private func expectMoments(
    _ x: [Float], variance: Double, fourth: Double,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let n = Double(x.count)
    let mean = x.reduce(0.0) { $0 + Double($1) } / n
    let square = x.reduce(0.0) { $0 + Double($1) * Double($1) } / n
    #expect(abs(mean) < 5 * (variance / n).squareRoot(), sourceLocation: sourceLocation)
    #expect(
      abs(square - variance) < 5 * ((fourth - variance * variance) / n).squareRoot(),
      sourceLocation: sourceLocation)
  }

  @Test func normalCodes() throws {
    let codes = try layer(.normal, 300, 20).codebook.values
    expectMoments(codes, variance: 1, fourth: 3)
  }

  /// N(0, 2 / d).
  @Test(arguments: [2, 32]) func kaimingCodes(d: Int) throws {
    let variance = 2 / Double(d)
    let codes = try layer(.kaiming, 6400 / d, d).codebook.values
    expectMoments(codes, variance: variance, fourth: 3 * variance * variance)
    // Normal, not uniform: a uniform number of this variance stays below sqrt(3) deviations.
    #expect(codes.contains { Double(abs($0)) > 2 * variance.squareRoot() })
  }

  /// Uniform in +-1/k.
  @Test(arguments: [10, 400]) func uniformCodes(k: Int) throws {
    let bound = 1 / Double(k)
    let codes = try layer(.uniform, k, 4000 / k).codebook.values
    expectMoments(codes, variance: bound * bound / 3, fourth: bound * bound * bound * bound / 5)
    #expect(codes.allSatisfy { Double(abs($0)) <= bound * (1 + 1e-6) })
  }

  @Test(arguments: [CodebookStart.normal, .kaiming, .uniform])
  func seedsDecide(start: CodebookStart) throws {
    let first = try layer(start, 9, 4)
    #expect(try layer(start, 9, 4).codebook.values == first.codebook.values)
    #expect(try layer(start, 9, 4, seed: 1).codebook.values != first.codebook.values)
    #expect(first.kMeans.initialized.codes == [1])
  }

  /// Seeds of k-means++ are distinct vectors; nothing moves them.
  @Test func plusPlusSeedsAreVectors() throws {
    let layer = try layer(.plusPlus, 12, 3)
    #expect(layer.kMeans.initialized.codes == [0])
    let z = try sample([80, 3], seed: 1, mean: 4)
    let result = try layer.quantize(z)
    let rows = (0..<80).map { Array(z.values[$0 * 3..<$0 * 3 + 3]) }
    let seeds = (0..<12).map { Array(layer.codebook.values[$0 * 3..<$0 * 3 + 3]) }
    #expect(Set(seeds).count == 12)
    #expect(seeds.allSatisfy(rows.contains))
    #expect(result.activeCodes == 12)
    #expect(result.d.values.filter { $0 == 0 }.count == 12)
    _ = try layer.quantize(sample([80, 3], seed: 2))
    #expect(layer.codebook.values == seeds.flatMap { $0 })
  }

  /// k-means goes on from such seeds to the means of its clusters.
  @Test func kMeansCodesAreMeans() throws {
    let (seeded, settled) = (try layer(.plusPlus, 12, 3), try layer(.kMeans, 12, 3))
    let z = try sample([80, 3], seed: 1, mean: 4)
    let (first, result) = (try seeded.quantize(z), try settled.quantize(z))
    #expect(try result.loss.item() < first.loss.item())
    let direct = try kmeans(
      z, k: 12, iterations: 10, initial: .centroids(seeded.codebook.detached()))
    #expect(settled.codebook.values == direct.centroids.values)
  }

  /// Fewer vectors than codes: each vector is a code, the others stand within 1% of one.
  @Test(arguments: [CodebookStart.kMeans, .plusPlus]) func keepsEveryCode(start: CodebookStart)
    throws
  {
    let layer = try layer(start, 16, 2)
    let z = try Tensor([100, 0, 0, 100, -100, 0], shape: [3, 2])
    let result = try layer.quantize(z)
    #expect(layer.codebook.shape == [16, 2])
    #expect(try result.loss.item() == 0)
    #expect(result.activeCodes == 3)
    for code in 0..<16 {
      let isNear = (0..<3).contains { row in
        // 0.01 * 100 / sqrt(2) an element, five standard deviations.
        (0..<2).allSatisfy {
          abs(layer.codebook.values[code * 2 + $0] - z.values[row * 2 + $0]) < 3.6
        }
      }
      #expect(isNear)
    }
  }

  @Test(arguments: [CodebookStart.kMeans, .plusPlus]) func equalVectors(start: CodebookStart) throws
  {
    let layer = try layer(start, 4, 2)
    let result = try layer.quantize(.full([9, 2], 0))
    #expect(try result.loss.item() == 0)
    #expect(result.q.codes == [Int32](repeating: 0, count: 9))
  }

  /// A gradient that waited for random codes is not one of the codes after them.
  @Test func startForgetsTheGradient() throws {
    let layer = try layer(.kMeans, 4, 2)
    layer.codebook.grad = try .ones([4, 2])
    _ = try layer.quantize(sample([20, 2], seed: 3))
    #expect(layer.codebook.grad!.values.allSatisfy { $0 == 0 })
  }

  /// Another start forgets moments and counts of replacement too.
  @Test func startsAnew() throws {
    var options = VectorQuantOptions(featureSize: 2, codeCount: 4)
    (options.start, options.replaceFrequency) = (.kMeans, 5)
    let layer = try VectorQuant(options)
    let optimizer = try SGD([layer.codebook], learningRate: 0.1, momentum: 0.9)
    _ = try layer.quantize(sample([20, 2], seed: 3))
    _ = try layer.quantize(.ones([20, 2]))
    layer.codebook.grad = try .ones([4, 2])
    try optimizer.step()
    let moment = try #require(try optimizer.state.first { $0.name.hasSuffix("momentum_buffer") })
    #expect(moment.tensor.values == [Float](repeating: 1, count: 8))
    #expect(layer.replacement.unusedSteps.codes.contains { $0 > 0 })
    try layer.fit(sample([20, 2], seed: 4))
    // As before the first step: no moments, no steps.
    #expect(try optimizer.state.isEmpty)
    #expect(layer.replacement.unusedSteps.codes == [0, 0, 0, 0])
    #expect(layer.codebook.grad!.values.allSatisfy { $0 == 0 })
  }

  /// Codes that an optimizer moved are trained, not random: k-means does not take their place.
  @Test func optimizerStepCountsAsTheStart() throws {
    let layer = try layer(.kMeans, 4, 2)
    layer.codebook.grad = try .ones([4, 2])
    try SGD([layer.codebook], learningRate: 0.1).step()
    let stepped = layer.codebook.values
    _ = try layer.quantize(sample([20, 2], seed: 3))
    #expect(layer.codebook.values == stepped)
    layer.isTraining = false
    #expect(try layer.quantize(sample([20, 2], seed: 3)).q.shape == [20])
  }
}
