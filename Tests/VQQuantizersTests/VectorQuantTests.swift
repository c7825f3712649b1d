import Testing
import VQTesting

@testable import VQQuantizers

/// A layer over given codes.
func layer(
  _ codes: [Float], width: Int, _ change: (inout VectorQuantOptions) -> Void = { _ in }
) throws -> VectorQuant {
  var options = VectorQuantOptions(featureSize: width, codeCount: codes.count / width)
  change(&options)
  let layer = try VectorQuant(options)
  layer.codebook.setValues(codes)
  let rows = Array(0..<options.codeCount)
  layer.book.statistics?.restart(rows, weights: rows.map { _ in 1 }, from: layer.codebook)
  return layer
}

@Suite struct VectorQuantTests {
  static let handCodes: [Float] = [1, 1, 2, 0, -1, 0, 0, 3]
  static let handVectors: [Float] = [1, 2, 3, -1, 0, 0.5]

  @Test(arguments: [Float(0), 0.25, 0.8, 1]) func handValues(beta: Float) throws {
    let layer = try layer(Self.handCodes, width: 2) { $0.beta = beta }
    let z = try Tensor(Self.handVectors, shape: [3, 2]).requiringGrad()
    let result = try layer.quantize(z)
    #expect(result.q.codes == [0, 1, 0])
    #expect(result.zq.values == [1, 1, 2, 0, 1, 1])
    #expect(result.d.values == [1, 2, 1.25])
    // 4.25 / 6, half an ulp from its float32.
    #expect(try result.loss.item() == Float(4.25 / 6))
    #expect(abs(result.commitmentLoss - (1 - beta) * 0.7083333) < 1e-6)
    #expect(abs(result.codebookLoss - beta * 0.7083333) < 1e-6)
    // H of (2/3, 1/3) is 0.9182958 bits.
    #expect(abs(result.perplexity - 1.8898816) < 1e-6)
    #expect(result.activeCodes == 2)
    try result.loss.backward()
    let encoder: [Float] = [0, 1, 1, -1, -1, -0.5].map { (1 - beta) * $0 / 3 }
    if beta < 1 { #expect(isClose(z.grad!.values, encoder, 1e-7)) }
    let book: [Float] = [1, -0.5, -1, 1, 0, 0, 0, 0].map { beta * $0 / 3 }
    if beta > 0 { #expect(isClose(layer.codebook.grad!.values, book, 1e-7)) }
  }

  @Test(arguments: [[2], [1, 2], [5, 2], [2, 3, 2], [1, 4, 1, 2]])
  func shapesFollowTheInput(shape: [Int]) throws {
    let layer = try layer(Self.handCodes, width: 2)
    let result = try layer.quantize(sample(shape, seed: 1))
    #expect(result.zq.shape == shape)
    #expect(result.z.shape == shape)
    #expect(result.q.shape == Array(shape.dropLast()))
    #expect(result.d.shape == Array(shape.dropLast()))
    #expect(result.loss.shape == [])
    #expect(try layer.encode(sample(shape, seed: 1)).shape == Array(shape.dropLast()))
    #expect(try layer.decode(result.q).shape == shape)
  }

  @Test func outputGradientGoesStraightThrough() throws {
    let layer = try layer(Self.handCodes, width: 2) { $0.syncNu = 0.5 }
    let z = try Tensor(Self.handVectors, shape: [3, 2]).requiringGrad()
    let g = try sample([3, 2], seed: 2)
    try layer.forward(z).backward(g)
    #expect(z.grad!.values == g.values)
    let v = g.values
    let expected = [v[0] + v[4], v[1] + v[5], v[2], v[3], 0, 0, 0, 0].map { 0.5 * $0 }
    #expect(isClose(layer.codebook.grad!.values, expected, 1e-7))
  }

  @Test func codebookTakesNoGradientOfTheOutputWithoutSynchronization() throws {
    let layer = try layer(Self.handCodes, width: 2)
    let z = try Tensor(Self.handVectors, shape: [3, 2]).requiringGrad()
    try layer.forward(z).sum().backward()
    #expect(layer.codebook.grad == nil)
  }

  @Test func affineMapsEachGroupOfCodes() throws {
    let layer = try layer([1, 2, 3, 4], width: 1) {
      $0.affineLearningRate = 2
      $0.affineGroups = 2
    }
    layer.affineScale!.setValues([0.5, -1])
    layer.affineBias!.setValues([1, 0.25])
    // (1 + 2 * 0.5) c + 2 and (1 - 2) c + 0.5.
    #expect(try layer.effectiveCodebook().values == [4, 6, -2.5, -3.5])
    let result = try layer.quantize(Tensor([5.5, -3], shape: [2, 1]))
    #expect(result.q.codes == [1, 2])
    #expect(result.zq.values == [6, -2.5])
  }

  /// Products of two parameters: third derivatives vanish without the norm and stay small with it.
  @Test(arguments: [VectorNorm.none, .l2], [1, 3])
  func effectiveCodebookGradient(norm: VectorNorm, groups: Int) throws {
    var options = VectorQuantOptions(featureSize: 4, codeCount: 6)
    options.affineLearningRate = 0.5
    options.affineGroups = groups
    options.codebookNorm = norm
    let layer = try VectorQuant(options)
    let (scale, bias) = (layer.affineScale!, layer.affineBias!)
    try layer.codebook.assign(sample([6, 4], seed: 3, mean: 1.5, scale: 0.3))
    try scale.assign(sample([groups, 4], seed: 4, scale: 0.2))
    try bias.assign(sample([groups, 4], seed: 5, scale: 0.2))
    let weights = try sample([6, 4], seed: 6)
    try layer.effectiveCodebook().backward(weights)
    for parameter in [layer.codebook, scale, bias] {
      let start = try parameter.copied()
      let expected = try centralDifferences(start) { value in
        try parameter.assign(value)
        return try dot(layer.effectiveCodebook().detached(), weights)
      }
      try parameter.assign(start)
      #expect(isClose(parameter.grad!.values, expected, 5e-4))
    }
  }

  @Test func normsCompareDirections() throws {
    let layer = try layer([2, 0, 0, 0.5], width: 2) {
      $0.norm = .l2
      $0.codebookNorm = .l2
    }
    let z = try Tensor([0.1, 0.3, 50, 1, 0, 0], shape: [3, 2]).requiringGrad()
    let result = try layer.quantize(z)
    // The zero vector is equally far from both codes.
    #expect(result.q.codes == [1, 0, 0])
    #expect(result.zq.values == [0, 1, 1, 0, 1, 0])
    #expect(isClose(result.z.values, [0.31622776, 0.94868330, 0.99980003, 0.01999600, 0, 0], 1e-7))
    #expect(result.d.values[2] == 1)
    try (result.zq.sum() + result.loss).backward()
    #expect(z.grad!.values.allSatisfy { $0.isFinite })
    #expect(Array(z.grad!.values[4...]) == [0, 0])
    #expect(layer.codebook.grad!.values.allSatisfy { $0.isFinite })
  }

  @Test func evaluationChangesNothing() throws {
    let layer = try layer(Self.handCodes, width: 2) {
      $0.replaceFrequency = 1
      $0.start = .kMeans
      $0.affineLearningRate = 1
    }
    layer.inplaceOptimizer = try SGD([layer.codebook], learningRate: 1)
    layer.isTraining = false
    let waiting = layer.snapshot
    let z = try Tensor(Self.handVectors, shape: [3, 2])
    // Evaluation does not stand in for the first training batch.
    let refusal = "[vector_quant] the codebook waits for its start"
    #expect(errorText { try layer.quantize(z) }.hasPrefix(refusal))
    #expect(errorText { try layer.encode(z) }.hasPrefix(refusal))
    #expect(layer.snapshot == waiting)
    try layer.codebook.give(Tensor(Self.handCodes, shape: [4, 2]))
    let before = layer.snapshot
    #expect(try layer.quantize(z).q.codes == [0, 1, 0])
    _ = try layer.encode(z)
    #expect(layer.snapshot == before)
    layer.isTraining = true
    _ = try layer.encode(z)
    #expect(layer.snapshot == before)
  }

  @Test func emptyBatches() throws {
    let layer = try layer(Self.handCodes, width: 2)
    #expect(
      errorText { try layer.quantize(.ones([0, 2])) }
        == "[vector_quant] shape [0, 2] has no elements: training needs at least one vector")
    layer.isTraining = false
    let result = try layer.quantize(.ones([3, 0, 2]))
    #expect(result.zq.shape == [3, 0, 2])
    #expect(result.q.shape == [3, 0])
    #expect(try result.loss.item() == 0)
    #expect(result.activeCodes == 0)
    #expect(try layer.encode(.ones([0, 2])).shape == [0])
    #expect(try layer.decode(Tensor(codes: [], shape: [0])).shape == [0, 2])
  }

  @Test func refusesBadInputAndChangesNothing() throws {
    let layer = try layer(Self.handCodes, width: 2) {
      $0.start = .kMeans
      $0.norm = .l2
    }
    let before = layer.snapshot
    #expect(
      errorText { try layer.quantize(.ones([4, 3])) }
        == "[vector_quant] shape [4, 3]: the last axis must be feature_size = 2")
    #expect(
      errorText { try layer.quantize(.ones([])) }
        == "[vector_quant] shape []: the last axis must be feature_size = 2")
    #expect(
      errorText { try layer.quantize(Tensor(codes: [1, 2], shape: [1, 2])) }
        == "[vector_quant] dtype int32: float32 is required")
    #expect(
      errorText { try layer.quantize(Tensor([1, 2, 3, .infinity], shape: [2, 2])) }
        == "[vector_quant] z holds inf at flat index 3: every element must be finite")
    #expect(
      errorText { try layer.decode(Tensor(codes: [0, 4], shape: [2])) }
        == "[vector_quant.decode] index 4 is outside 0..<4")
    #expect(
      errorText { try layer.decode(.ones([2])) }
        == "[vector_quant.decode] dtype float32: codes must be int32")
    #expect(layer.snapshot == before)
    try layer.fit(sample([8, 2], seed: 7))
    layer.codebook.setValues([1, .nan, 1, 1, 1, 1, 1, 1])
    layer.isTraining = false
    #expect(
      errorText { try layer.quantize(.ones([1, 2])) }
        == "[vector_quant] codebook holds nan at flat index 1: every element must be finite")
  }

  struct Bad: CustomTestStringConvertible {
    var change: (inout VectorQuantOptions) -> Void
    var text: String
    var testDescription: String { text }
  }

  @Test(arguments: [
    Bad(change: { $0.featureSize = 0 }, text: "feature_size = 0: must be at least 1"),
    Bad(change: { $0.codeCount = 0 }, text: "num_codes = 0: must be at least 1"),
    Bad(change: { $0.beta = 1.5 }, text: "beta = 1.5: must be in 0...1"),
    Bad(change: { $0.beta = .nan }, text: "beta = nan: must be in 0...1"),
    Bad(change: { $0.syncNu = -1 }, text: "sync_nu = -1.0: must be finite and at least 0"),
    Bad(
      change: { $0.affineLearningRate = .infinity },
      text: "affine_lr = inf: must be finite and at least 0"),
    Bad(
      change: { $0.affineGroups = 3 },
      text: "affine_groups = 3: must be at least 1 and divide num_codes = 8"),
    Bad(
      change: { $0.affineGroups = 0 },
      text: "affine_groups = 0: must be at least 1 and divide num_codes = 8"),
    Bad(change: { $0.replaceFrequency = -1 }, text: "replace_freq = -1: must be at least 0"),
    Bad(change: { $0.innerSteps = 0 }, text: "inner_steps = 0: must be at least 1"),
    Bad(
      change: { $0.outerSteps = 0 },
      text: "outer_steps = 0: must be at least 1 and fit in int32"),
  ])
  func refusesBadOptions(_ bad: Bad) {
    var options = VectorQuantOptions(featureSize: 4, codeCount: 8)
    bad.change(&options)
    #expect(errorText { try VectorQuant(options) } == "[vector_quant] \(bad.text)")
  }

  @Test func sizesThatOverflow() {
    let options = VectorQuantOptions(featureSize: 1 << 31, codeCount: 1 << 31)
    #expect(
      errorText { try VectorQuant(options) }
        == "[vector_quant] sizes [2147483648, 2147483648]: their product does not fit in memory")
  }

  @Test func seedAndStreamDetermineTheCodebook() throws {
    var options = VectorQuantOptions(featureSize: 8, codeCount: 400)
    let first = try VectorQuant(options).codebook.values
    #expect(try VectorQuant(options).codebook.values == first)
    options.stream = 1
    #expect(try VectorQuant(options).codebook.values != first)
    // Mean and variance of 3200 standard normal numbers, within 5 standard errors.
    let mean = first.reduce(0.0) { $0 + Double($1) } / 3200
    let variance = first.reduce(0.0) { $0 + Double($1) * Double($1) } / 3200
    #expect(abs(mean) < 5 / 3200.0.squareRoot())
    #expect(abs(variance - 1) < 5 * (2 / 3200.0).squareRoot())
  }

  /// Every tensor that the layer stores is in its state.
  @Test(arguments: [false, true]) func stateIsComplete(isAlternating: Bool) throws {
    let layer = try layer(Self.handCodes, width: 2) { $0.affineLearningRate = 1 }
    if isAlternating { layer.inplaceOptimizer = try SGD([layer.codebook], learningRate: 1) }
    let listed = Set(layer.state.map { ObjectIdentifier($0.tensor.storage) })
    #expect(storedTensors(in: layer) == listed)
    #expect(listed.count == 7)
    #expect(
      layer.state.map(\.name) == [
        "codebook", "affine_scale", "affine_bias", "unused_steps", "initialized", "inner_phase",
        "generator",
      ])
    let trainable = layer.trainableParameters.map(\.name)
    #expect(trainable == (isAlternating ? [] : ["codebook"]) + ["affine_scale", "affine_bias"])
    #expect(layer.codebook.leaf?.role == .codebook)
  }
}
