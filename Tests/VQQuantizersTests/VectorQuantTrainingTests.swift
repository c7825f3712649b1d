import Testing
import VQTesting

@testable import VQQuantizers

@Suite struct VectorQuantTrainingTests {
  // MARK: Figure 3

  enum Method: CaseIterable { case joint, alternated, lookAhead }

  /// Figure 3: one vector and one code, both stepped at rate 0.1 towards target 0. With n = 1 and d
  /// = 2 the mean squared error has the gradients of the paper's 1/2 L2.
  @Test(
    arguments: zip(
      Method.allCases,
      [[1.41949, -1.31048], [1.3899974949, -1.2249045828], [1.429249779, -1.303409151]]
        as [[Float]]))
  func figureThree(method: Method, expected: [Float]) throws {
    let layer = try layer([1, 1], width: 2) {
      $0.beta = 1
      $0.syncNu = method == .lookAhead ? 0.1 : 0
    }
    let z = try Tensor([2, -1], shape: [1, 2]).requiringGrad()
    if method == .alternated {
      layer.inplaceOptimizer = try SGD([layer.codebook], learningRate: 0.1)
    }
    let outer = try SGD([z] + layer.trainableParameters.map(\.tensor), learningRate: 0.1)
    for _ in 0..<5 {
      outer.zeroGrad()
      let result = try layer.quantize(z)
      try (result.zq.square().sum() * 0.5 + result.loss).backward()
      try outer.step()
    }
    // Five steps of values below 2 at float32, and the reference's last printed digit.
    #expect(isClose(z.values, expected, method == .joint ? 3e-6 : 1e-6))
  }

  // MARK: Alternating optimization

  @Test func inPlaceStepHandValue() throws {
    let layer = try layer(VectorQuantTests.handCodes, width: 2)
    layer.inplaceOptimizer = try SGD([layer.codebook], learningRate: 1)
    let z = try Tensor(VectorQuantTests.handVectors, shape: [3, 2]).requiringGrad()
    let result = try layer.quantize(z)
    let expected: [Float] = [2 / 3, 7 / 6, 7 / 3, -1 / 3, -1, 0, 0, 3]
    #expect(isClose(layer.codebook.values, expected, 2e-7))
    // The codes are kept, their values fresh.
    #expect(result.q.codes == [0, 1, 0])
    #expect(result.zq.values == (try layer.decode(result.q)).values)
    // From the outer loss the raw codebook gets nothing, the encoder its (1 - beta) term.
    try (result.zq.sum() + result.loss).backward()
    #expect(layer.codebook.grad == nil)
    let difference = try z.detached() - result.zq.detached()
    let encoder = try difference * (2 * 0.05 / 6) + 1
    #expect(isClose(z.grad!.values, encoder.values, 1e-6))
  }

  /// Code 0 has gradient (1 - 0) + (1 - 2.2) = -0.2: rate 50 takes it to 11, beyond code 1.
  @Test(arguments: [false, true]) func reassignLooksCodesUpAgain(reassign: Bool) throws {
    let layer = try layer([1, 3.5], width: 1) { $0.reassign = reassign }
    layer.inplaceOptimizer = try SGD([layer.codebook], learningRate: 50)
    let result = try layer.quantize(Tensor([0, 2.2], shape: [2, 1]))
    #expect(result.q.codes == (reassign ? [1, 1] : [0, 0]))
    #expect(
      result.zq.values
        == (reassign ? [3.5, 3.5] : [layer.codebook.values[0], layer.codebook.values[0]]))
  }

  @Test func synchronizedGradientReachesTheNextInPlaceStep() throws {
    let layer = try layer([1, 5], width: 1) { $0.syncNu = 0.5 }
    layer.inplaceOptimizer = try SGD([layer.codebook], learningRate: 1)
    let z = try Tensor([1], shape: [1, 1])
    try (layer.quantize(z).zq * 4).sum().backward()
    // nu g = 2, and z stands on its code.
    #expect(layer.codebook.grad!.values == [2, 0])
    #expect(layer.codebook.values == [1, 5])
    layer.zeroGrad()
    _ = try layer.quantize(z)
    #expect(layer.codebook.values == [-1, 5])
    #expect(layer.codebook.grad == nil)
  }

  /// Each part steps on the codebook that the part before left.
  @Test func innerStepsSplitTheBatch() throws {
    let z: [Float] = [0, 1, 2, 6, 7]
    let layer = try layer([0, 5], width: 1) { $0.innerSteps = 2 }
    layer.inplaceOptimizer = try SGD([layer.codebook], learningRate: 1)
    let result = try layer.quantize(Tensor(z, shape: [5, 1]))
    // Part 1, (0, 1): gradient of code 0 is 2/2 (0 - 0 + 0 - 1) = -1, so C = (1, 5).
    // Part 2, (2, 6, 7): code 0 2/3 (1 - 2), code 1 2/3 (5 - 6 + 5 - 7): C = (5/3, 7).
    #expect(isClose(layer.codebook.values, [5 / 3, 7], 1e-6))
    #expect(result.q.codes == [0, 0, 0, 1, 1])
    #expect(
      errorText { try layer.quantize(Tensor([1], shape: [1, 1])) }
        == "[vector_quant] shape [1, 1]: inner_steps = 2 needs as many vectors, and there are 1")
  }

  @Test func outerStepsSkipTheInPlaceStep() throws {
    let layer = try layer([0, 5], width: 1) { $0.outerSteps = 3 }
    layer.inplaceOptimizer = try SGD([layer.codebook], learningRate: 0.25)
    var moved: [Bool] = []
    for _ in 0..<7 {
      let before = layer.codebook.values
      _ = try layer.quantize(Tensor([1], shape: [1, 1]))
      moved.append(layer.codebook.values != before)
    }
    #expect(moved == [true, false, false, true, false, false, true])
  }

  /// The affine map gets the beta term and nu's gradient, C nu's alone, both through the map.
  @Test func alternatingSharesGradientsWithTheAffineMap() throws {
    let (nu, beta): (Float, Float) = (0.3, 0.7)
    let layer = try layer(VectorQuantTests.handCodes, width: 2) {
      $0.affineLearningRate = 2
      $0.syncNu = nu
      $0.beta = beta
    }
    layer.affineScale!.setValues([0.1, -0.05])
    layer.inplaceOptimizer = try SGD([layer.codebook], learningRate: 0.5)
    let z = try Tensor(VectorQuantTests.handVectors, shape: [3, 2])
    let g = try sample([3, 2], seed: 1)

    // In-place: d/dC of mse(z, (1 + lr s) C + lr b) is (1 + lr s) times that in E.
    let start = try layer.effectiveCodebook().detached().requiringGrad()
    let codes = try nearestCodes(z, start).codes
    try (z - start.gatherRows(codes)).square().mean().backward()
    let scales: [Float] = [1.2, 0.9]
    let stepped = start.grad!.values
    let expected = VectorQuantTests.handCodes.indices.map { index in
      VectorQuantTests.handCodes[index] - 0.5 * stepped[index] * scales[index % 2]
    }

    let result = try layer.quantize(z)
    #expect(isClose(layer.codebook.values, expected, 1e-6))
    try ((result.zq * g).sum() + result.loss).backward()

    let e = try layer.effectiveCodebook().detached().requiringGrad()
    let synchronized = try g.scatterAddRows(codes, rows: 4) * nu
    try ((z - e.gatherRows(codes)).square().mean() * beta).backward()
    let inE = try (synchronized + e.grad!).values
    let raw = layer.codebook.values
    var (scale, bias, inC) = (
      [Float](repeating: 0, count: 2), [Float](repeating: 0, count: 2), [Float]()
    )
    for row in 0..<4 {
      for l in 0..<2 {
        scale[l] += 2 * inE[row * 2 + l] * raw[row * 2 + l]
        bias[l] += 2 * inE[row * 2 + l]
        inC.append(synchronized.values[row * 2 + l] * scales[l])
      }
    }
    #expect(isClose(layer.codebook.grad!.values, inC, 1e-6))
    #expect(isClose(layer.affineScale!.grad!.values, scale, 2e-6))
    #expect(isClose(layer.affineBias!.grad!.values, bias, 2e-6))
  }

  @Test func inPlaceStepsRunWithoutRecording() throws {
    let layer = try layer(VectorQuantTests.handCodes, width: 2)
    layer.inplaceOptimizer = try SGD([layer.codebook], learningRate: 1)
    let z = try Tensor(VectorQuantTests.handVectors, shape: [3, 2])
    _ = try withoutGradients { try layer.quantize(z) }
    let expected: [Float] = [2 / 3, 7 / 6, 7 / 3, -1 / 3, -1, 0, 0, 3]
    #expect(isClose(layer.codebook.values, expected, 2e-7))
  }

  @Test func refusesAnOptimizerOfOtherParameters() throws {
    let layer = try layer([0, 1], width: 1)
    let other = try Tensor.ones([1]).requiringGrad()
    let rule =
      "[vector_quant] the in-place optimizer must own the layer's codebook and nothing else"
    layer.inplaceOptimizer = try SGD([other], learningRate: 1)
    #expect(errorText { try layer.quantize(Tensor([0], shape: [1, 1])) } == rule)
    layer.inplaceOptimizer = nil
    layer.inplaceOptimizer = try SGD([layer.codebook, other], learningRate: 1)
    #expect(errorText { try layer.quantize(Tensor([0], shape: [1, 1])) } == rule)
    #expect(
      errorText { try SGD([layer.codebook], learningRate: 1) }
        == "[sgd] parameters[0] = a tensor of shape [2, 1]: the in-place optimizer of a vector_quant "
        + "owns it, and no parameter belongs to two optimizers")
  }

  // MARK: Replacement

  @Test func replacesTheLeastRecentlyUsed() throws {
    let start: [Float] = [0, 10, 20, 30]
    let layer = try layer(start, width: 1) { $0.replaceFrequency = 3 }
    var replaced: [[Int]] = []
    layer.codebook.leaf!.rowObservers.append { replaced[replaced.count - 1] += $0 }
    for batch in [[0, 10], [0, 20], [10], [0], [0], [0], [0]] as [[Float]] {
      replaced.append([])
      _ = try layer.quantize(Tensor(batch, shape: [batch.count, 1]))
      for (code, value) in layer.codebook.values.enumerated() where value != start[code] {
        // A vector of the batch and noise of 1% of its length: 5 standard deviations.
        #expect(batch.contains { abs($0 - value) <= 0.05 * abs($0) })
        #expect(replaced.last!.contains(code))
      }
      layer.codebook.setValues(start)
    }
    #expect(replaced == [[], [], [3], [], [2], [1, 3], []])
  }

  @Test func replacementLandsOnTheDataUnderAffineAndNorm() throws {
    let layer = try layer([1, 0, 0, 9, 9, 0, -9, 0], width: 2) {
      $0.replaceFrequency = 1
      $0.affineLearningRate = 4
      $0.affineGroups = 2
      $0.norm = .l2
    }
    layer.affineScale!.setValues([0.5, 0.25, -0.5, 1])
    layer.affineBias!.setValues([1, -1, 2, 0.5])
    let z = try sample([50, 2], seed: 3, mean: 100, scale: 1)
    _ = try layer.quantize(z)
    _ = try layer.quantize(z)
    let effective = try layer.effectiveCodebook().values
    // Unit vectors near (0.7071, 0.7071), moved by 1%.
    #expect(effective.allSatisfy { abs($0 - 0.7071) < 0.1 })
  }

  @Test func replacementStaysFiniteNearAZeroScale() throws {
    let layer = try layer([50, -50], width: 1) {
      $0.replaceFrequency = 1
      $0.affineLearningRate = 1
    }
    layer.affineScale!.setValues([-1])
    for _ in 0..<3 { _ = try layer.quantize(Tensor([3e38, -3e38], shape: [2, 1])) }
    #expect(layer.codebook.values.allSatisfy { $0.isFinite })
  }

  @Test func replacementResetsMomentsOfItsRows() throws {
    let layer = try layer([0, 10, 20], width: 1) { $0.replaceFrequency = 2 }
    let optimizer = try SGD([layer.codebook], learningRate: 0.1, momentum: 0.9)
    layer.codebook.grad = try Tensor([1, 2, 3], shape: [3, 1])
    try optimizer.step()
    for _ in 0..<2 { _ = try layer.quantize(Tensor([0, 10], shape: [2, 1])) }
    let moment = try #require(try optimizer.state.first { $0.name.hasSuffix("momentum_buffer") })
    #expect(moment.tensor.values == [1, 2, 0])
  }

  /// Replacement after the forward leaves its tape valid.
  @Test func backwardAfterReplacement() throws {
    let layer = try layer([0, 100, 200], width: 1) {
      $0.replaceFrequency = 1
      $0.syncNu = 1
      $0.affineLearningRate = 1
    }
    let result = try layer.quantize(Tensor([1], shape: [1, 1]))
    #expect(layer.codebook.values[1] != 100)
    try (result.zq.sum() + result.loss).backward()
    #expect(layer.codebook.grad!.values[0].isFinite)
    #expect(Array(layer.codebook.grad!.values[1...]) == [0, 0])
  }

  // MARK: Initialization

  @Test(arguments: [VectorNorm.none, .l2]) func kMeansBeforeTheFirstAssignment(norm: VectorNorm)
    throws
  {
    let layer = try layer([Float](repeating: 1e6, count: 16), width: 2) {
      $0.start = .kMeans
      $0.affineLearningRate = 1
      $0.norm = norm
    }
    layer.affineScale!.setValues([1, 0.5])
    layer.affineBias!.setValues([3, -3])
    let z = try sample([200, 2], seed: 4, mean: 5)
    let first = try layer.quantize(z)
    #expect(first.activeCodes == 8)
    // The vectors' variance a dimension is 1 (far less on the circle); eight clusters cut it.
    #expect(try first.loss.item() < 0.4)
    let codebook = layer.codebook.values
    _ = try layer.quantize(z)
    #expect(layer.codebook.values == codebook)
    #expect(layer.kMeans.initialized.codes == [1])
  }

  @Test func kMeansKeepsEveryCodeOfASmallBatch() throws {
    let layer = try layer([Float](repeating: 0, count: 20), width: 2) { $0.start = .kMeans }
    let result = try layer.quantize(sample([3, 2], seed: 5))
    #expect(layer.codebook.shape == [10, 2])
    #expect(result.activeCodes == 3)
    #expect(try result.loss.item() == 0)
  }

  // MARK: Training

  private func train(_ layer: VectorQuant, steps: Int, rate: Double = 0.3) throws -> [Float] {
    let z = try sample([256, 4], seed: 6)
    let outer = try SGD(layer.trainableParameters.map(\.tensor), learningRate: rate)
    return try (0..<steps).map { _ in
      outer.zeroGrad()
      let result = try layer.quantize(z)
      try result.loss.backward()
      try outer.step()
      return try result.loss.item()
    }
  }

  @Test func lossFallsAndMoreCodesHelp() throws {
    var last: Float = .infinity
    for k in [2, 8, 32] {
      var options = VectorQuantOptions(featureSize: 4, codeCount: k)
      options.start = .kMeans
      let layer = try VectorQuant(options)
      let loss = try train(layer, steps: 30)
      #expect(loss.last! <= loss.first!)
      #expect(loss.last! < last)
      last = loss.last!
    }
  }

  @Test func replacementRevivesDeadCodes() throws {
    func active(_ frequency: Int) throws -> Int {
      let far = [Float](repeating: 40, count: 16 * 4)
      let layer = try layer(far, width: 4) { $0.replaceFrequency = frequency }
      _ = try train(layer, steps: 20)
      return try layer.quantize(sample([256, 4], seed: 6)).activeCodes
    }
    #expect(try active(0) == 1)
    #expect(try active(2) >= 12)
  }
}
