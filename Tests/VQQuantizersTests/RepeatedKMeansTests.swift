import Testing
import VQTesting

@testable import VQQuantizers

/// k-means again and again, and on demand (Table 1).
@Suite struct RepeatedKMeansTests {
  private func layer(
    frequency: Int, _ change: (inout VectorQuantOptions) -> Void = { _ in }
  ) throws -> VectorQuant {
    var options = VectorQuantOptions(featureSize: 3, codeCount: 8)
    options.kMeansFrequency = frequency
    change(&options)
    return try VectorQuant(options)
  }

  /// Which of the forwards wrote the codebook.
  private func written(_ layer: VectorQuant, _ forwards: Int) throws -> [Bool] {
    try (0..<forwards).map { step in
      let before = layer.codebook.values
      _ = try layer.quantize(sample([50, 3], seed: UInt64(step)))
      return layer.codebook.values != before
    }
  }

  @Test(arguments: [1, 3]) func runsEverySoManyForwards(frequency: Int) throws {
    let fresh = try layer(frequency: frequency)
    #expect(try written(fresh, 8) == (0..<8).map { $0 > 0 && $0 % frequency == 0 })
    // With a start the first forward counts.
    let started = try layer(frequency: frequency) { $0.start = .kMeans }
    #expect(try written(started, 8) == (0..<8).map { $0 % frequency == 0 })
    let never = try layer(frequency: 0)
    #expect(try written(never, 8) == [Bool](repeating: false, count: 8))
    #expect(!never.namedBuffers.contains { $0.name == "kmeans_phase" })
  }

  @Test func resumesTheCount() throws {
    let first = try layer(frequency: 4)
    #expect(try written(first, 3) == [false, false, false])
    let second = try layer(frequency: 4) { $0.seed = 3 }
    try second.load(state: first.state)
    #expect(try written(second, 6) == written(first, 6))
    #expect(second.snapshot == first.snapshot)
  }

  @Test func evaluationFreezingAndPassingThroughDoNotCount() throws {
    let layer = try layer(frequency: 1)
    _ = try written(layer, 1)
    layer.isTraining = false
    #expect(try written(layer, 3) == [false, false, false])
    layer.isTraining = true
    layer.isFrozen = true
    #expect(try written(layer, 3) == [false, false, false])
    layer.isFrozen = false
    layer.isQuantizing = false
    #expect(try written(layer, 3) == [false, false, false])
    layer.isQuantizing = true
    #expect(try written(layer, 1) == [true])
  }

  /// The lookup after k-means is on its codes, in the space of the vectors, whatever maps there.
  @Test(arguments: [
    Variant("plain"), Variant("affine") { $0.affineLearningRate = 1 },
    Variant("SimVQ") { $0.isSimVQ = true },
    Variant("EMA") { $0.emaDecay = 0.9 }, Variant("code size") { $0.codeSize = 3 },
  ])
  func fitDescribesTheVectors(variant: Variant) throws {
    let layer = try VectorQuant(variant.options)
    layer.affineScale?.setValues([0.5, -0.5, 1, 0, 2, -0.25])
    layer.affineBias?.setValues([1, 2, 3, 4, 5, 6])
    let z = try sample([120, 6], seed: 9, mean: 7)
    let before = try layer.quantize(z)
    try layer.fit(z, iterations: 30)
    layer.isTraining = false
    let result = try layer.quantize(z)
    #expect(try result.loss.item() < before.loss.item())
    let reference = try kmeans(
      result.z, k: 8, iterations: 0, initial: .centroids(layer.effectiveCodebook().detached()))
    let again = try kmeans(
      result.z, k: 8, iterations: 5, initial: .centroids(layer.effectiveCodebook().detached()))
    // The centers are settled.
    #expect(again.inertia > 0.99 * reference.inertia)
    let usage = Set(result.q.codes).count
    #expect(usage == 8)
    if let statistics = layer.book.statistics {
      #expect(statistics.counts.values.reduce(0, +) == 120)
    }
  }

  @Test func fitOfNoUpdatesSeeds() throws {
    let layer = try layer(frequency: 0)
    let z = try sample([40, 3], seed: 10)
    try layer.fit(z, iterations: 0)
    layer.isTraining = false
    #expect(try layer.quantize(z).d.values.filter { $0 == 0 }.count == 8)
    #expect(
      errorText { try layer.fit(.ones([0, 3])) }
        == "[vector_quant.fit] shape [0, 3] has no elements: k-means needs at least one vector")
  }

  /// k-means each few forwards keeps codes alive that gradients alone would not reach.
  @Test func revivesDeadCodes() throws {
    func active(_ frequency: Int) throws -> Int {
      let layer = try layer(frequency: frequency)
      layer.codebook.setValues([Float](repeating: 40, count: 24))
      for step in 0..<4 { _ = try layer.quantize(sample([100, 3], seed: UInt64(step))) }
      return try layer.quantize(sample([100, 3], seed: 5)).activeCodes
    }
    #expect(try active(0) == 1)
    #expect(try active(2) == 8)
  }
}
