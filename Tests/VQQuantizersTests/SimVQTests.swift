import Testing
import VQTesting

@testable import VQQuantizers

@Suite struct SimVQTests {
  private func layer(_ change: (inout VectorQuantOptions) -> Void = { _ in }) throws -> VectorQuant
  {
    var options = VectorQuantOptions(featureSize: 3, codeCount: 8)
    options.isSimVQ = true
    change(&options)
    return try VectorQuant(options)
  }

  /// A W that is well conditioned and not symmetric.
  private static let transform: [Float] = [1.5, -0.5, 0.25, 0.75, 2, -1, 0, 0.5, -1.25]

  @Test func startEqualsTheRawCodebook() throws {
    let layer = try layer()
    var options = layer.options
    options.isSimVQ = false
    let plain = try VectorQuant(options)
    #expect(layer.transform!.values == [1, 0, 0, 0, 1, 0, 0, 0, 1])
    #expect(try layer.effectiveCodebook().values == plain.codebook.values)
    let z = try sample([20, 3], seed: 1)
    #expect(try layer.quantize(z).bits == plain.quantize(z).bits)
  }

  @Test func effectiveCodebookIsTheProduct() throws {
    let layer = try layer()
    layer.transform!.setValues(Self.transform)
    let (c, w) = (layer.codebook.values, Self.transform)
    let expected = (0..<24).map { index -> Float in
      let (row, column) = (index / 3 * 3, index % 3)
      return c[row] * w[column] + c[row + 1] * w[3 + column] + c[row + 2] * w[6 + column]
    }
    #expect(isClose(try layer.effectiveCodebook().values, expected, 1e-6))
  }

  @Test func onlyTheTransformIsTrained() throws {
    let layer = try layer { $0.syncNu = 0.5 }
    let start = layer.codebook.values
    #expect(layer.trainableParameters.map(\.name) == ["transform"])
    let optimizer = try SGD(layer.trainableParameters.map(\.tensor), learningRate: 0.5)
    let z = try sample([60, 3], seed: 2, mean: 1)
    var losses: [Float] = []
    for _ in 0..<30 {
      optimizer.zeroGrad()
      let result = try layer.quantize(z)
      try (result.zq.sum() * 1e-3 + result.loss).backward()
      try optimizer.step()
      losses.append(try result.loss.item())
    }
    #expect(layer.codebook.grad == nil)
    #expect(layer.codebook.values == start)
    #expect(losses.last! < 0.8 * losses.first!)
  }

  /// The codebook's side, beta = 1, of fixed codes is a quadratic function of W.
  @Test func gradientOfTheTransform() throws {
    let layer = try layer { ($0.beta, $0.syncNu) = (1, 0.5) }
    layer.transform!.setValues(Self.transform)
    let z = try sample([30, 3], seed: 3)
    let g = try sample([30, 3], seed: 4)
    let result = try layer.quantize(z)
    try ((result.zq * g).sum() + result.loss).backward()
    let slope = try centralDifferences(Tensor(Self.transform, shape: [3, 3]), step: 1e-2) { w in
      let values = try layer.codebook.detached().matmul(w).gatherRows(result.q)
      // nu = 1/2 of the output's gradient.
      return try dot(values, g) / 2 + Double((values - z).square().mean().item())
    }
    #expect(isClose(layer.transform!.grad!.values, slope, 2e-4))
  }

  @Test func replacedCodesLandOnTheVectors() throws {
    let layer = try layer { $0.replaceFrequency = 1 }
    layer.transform!.setValues(Self.transform)
    var replaced: [Int] = []
    layer.codebook.leaf!.rowObservers.append { replaced = $0 }
    _ = try layer.quantize(sample([2, 3], seed: 5, mean: 100))
    #expect(replaced.count >= 6)
    let effective = try layer.effectiveCodebook().values
    for code in replaced {
      #expect(effective[code * 3..<code * 3 + 3].allSatisfy { abs($0 - 100) < 9 })
    }
  }

  @Test func kMeansSetsTheEffectiveCodebook() throws {
    let layer = try layer { $0.start = .kMeans }
    layer.transform!.setValues(Self.transform)
    let z = try sample([200, 3], seed: 6, mean: 5)
    #expect(try layer.quantize(z).activeCodes == 8)
    let settled = try kmeans(
      z, k: 8, iterations: 10, initial: .centroids(layer.effectiveCodebook().detached()))
    // Ten updates more hardly move the centers.
    #expect(try layer.quantize(z).loss.item() < 1.1 * Float(settled.inertia / 600))
  }

  /// With a singular W no raw code has the wanted image: nothing is written, and nothing breaks.
  @Test func singularTransform() throws {
    let layer = try layer { ($0.replaceFrequency, $0.start) = (1, .kMeans) }
    layer.transform!.setValues([1, 2, 3, 2, 4, 6, 0, 0, 1])
    let start = layer.codebook.values
    for seed in 0..<3 {
      let result = try layer.quantize(sample([20, 3], seed: UInt64(seed)))
      try (result.zq.sum() + result.loss).backward()
    }
    #expect(layer.codebook.values == start)
    #expect(layer.transform!.grad!.values.allSatisfy { $0.isFinite })
    layer.transform!.setValues([Float](repeating: .nan, count: 9))
    #expect(
      errorText { try layer.quantize(sample([20, 3], seed: 4)) }
        == "[vector_quant] transform holds nan at flat index 0: every element must be finite")
  }

  @Test func freezingStopsTheTransform() throws {
    let layer = try layer()
    layer.isFrozen = true
    let z = try sample([9, 3], seed: 7).requiringGrad()
    let result = try layer.quantize(z)
    try (result.zq.sum() + result.loss).backward()
    #expect(layer.transform!.grad == nil)
    #expect(layer.trainableParameters.isEmpty)
  }

  @Test func refusesAnInPlaceOptimizer() throws {
    let layer = try layer()
    layer.inplaceOptimizer = try SGD([layer.codebook], learningRate: 1)
    #expect(
      errorText { try layer.quantize(.ones([1, 3])) }
        == "[vector_quant] SimVQ freezes the codebook: "
        + "there is nothing that an inplace_optimizer could step")
  }
}
