import Testing
import VQTesting

@testable import VQQuantizers

/// Values, losses and gradients of residual quantization.
@Suite struct ResidualVectorQuantTests {
  private func layer(
    stages: Int = 3, isShared: Bool = false,
    _ change: (inout VectorQuantOptions) -> Void = { _ in }
  ) throws -> ResidualVectorQuant {
    var options = VectorQuantOptions(featureSize: 4, codeCount: 6)
    options.beta = 0.7
    change(&options)
    return try ResidualVectorQuant(options, stages: stages, isShared: isShared)
  }

  /// What was compared is given before the projections of the stages, else everything is equal.
  @Test(arguments: Variant.all, [false, true])
  func oneStageEqualsThePlainLayer(variant: Variant, isShared: Bool) throws {
    let isProjected = variant.options.codeSize != nil
    if isShared && isProjected { return }
    let plain = try VectorQuant(variant.options)
    let residual = try ResidualVectorQuant(variant.options, stages: 1, isShared: isShared)
    let expected = try train(plain, isInplace: variant.isInplace, comparesInside: !isProjected)
    #expect(
      try train(residual, isInplace: variant.isInplace, comparesInside: !isProjected) == expected)
    #expect(residual.plainSnapshot == plain.plainSnapshot)
  }

  @Test(arguments: [false, true]) func quantizesWhatStagesLeave(isShared: Bool) throws {
    let layer = try layer(isShared: isShared) { $0.affineLearningRate = 1 }
    for own in layer.layers { own.affineScale!.setValues([0.1, -0.2, 0.3, 0]) }
    let z = try sample([20, 4], seed: 1)
    let result = try layer.quantize(z)
    var residual = z
    var sum = try Tensor.zeros(z.shape)
    var loss: Float = 0
    for stage in 0..<3 {
      let effective = try layer.layers[isShared ? 0 : stage].effectiveCodebook().detached()
      let codes = nearestByDefinition(residual, effective).codes
      #expect(try result.q.slice(axis: 1, from: stage, to: stage + 1).codes == codes)
      let values = try effective.gatherRows(Tensor(codes: codes, shape: [20]))
      residual = try residual - values
      sum = try sum + values
      #expect(
        isClose([result.stageLosses.values[stage]], [try residual.square().mean().item()], 1e-6))
      loss += result.stageLosses.values[stage]
    }
    #expect(isClose(result.zq.values, sum.values, 1e-6))
    #expect(isClose([try result.loss.item()], [loss], 1e-6))
    #expect(isClose([result.commitmentLoss, result.codebookLoss], [0.3 * loss, 0.7 * loss], 1e-6))
    #expect(result.stagePerplexities.shape == [3])
  }

  /// A regulariser counts once for its codebook, beside the stages' losses.
  @Test(arguments: [false, true]) func regularizersCountOncePerCodebook(isShared: Bool) throws {
    let layer = try layer(isShared: isShared) { $0.orthogonalWeight = 0.5 }
    let result = try layer.quantize(sample([20, 4], seed: 13))
    let own = try layer.layers.map {
      try orthogonalRegularizer($0.codebook.detached()).item() * 0.5
    }
    #expect(isClose([result.regularization], [own.reduce(0, +)], 1e-6))
    let stages = result.stageLosses.values.reduce(0, +)
    #expect(isClose([try result.loss.item()], [stages + result.regularization], 1e-6))
    let whole = result.commitmentLoss + result.codebookLoss + result.regularization
    #expect(isClose([try result.loss.item()], [whole], 1e-6))
  }

  /// With codes fixed the loss is a smooth function of z, of which the encoder's side takes 1 -
  /// beta.
  @Test(arguments: [false, true]) func everyCommitmentReachesTheVectors(isShared: Bool) throws {
    let layer = try layer(isShared: isShared)
    layer.isTraining = false
    let z = try sample([5, 4], seed: 2).requiringGrad()
    let codes = try layer.encode(z).codes
    try layer.quantize(z).loss.backward()
    let slope = try centralDifferences(z.detached(), step: 1e-3) {
      #expect(try layer.encode($0).codes == codes)
      return Double(try layer.quantize($0).loss.item())
    }
    // Differences of a float32 loss of about 2: 2^-23 / 2e-3.
    #expect(isClose(z.grad!.values, slope.map { 0.3 * $0 }, 2e-4))
    // A single stage has another gradient.
    let first = try sample([5, 4], seed: 2).requiringGrad()
    try layer.quantize(first, stages: 1).loss.backward()
    #expect(!isClose(z.grad!.values, first.grad!.values, 1e-2))
  }

  /// `beta 2 / N` of each stage's own difference: later stages do not reach earlier codebooks.
  @Test(arguments: [false, true]) func everyStageTrainsItsCodebook(isShared: Bool) throws {
    let layer = try layer(isShared: isShared)
    let z = try sample([20, 4], seed: 3)
    let result = try layer.quantize(z)
    try result.loss.backward()
    var expected = [[Float]](repeating: [Float](repeating: 0, count: 24), count: 3)
    var residual = z
    for stage in 0..<3 {
      let codebook = layer.layers[isShared ? 0 : stage].codebook.detached()
      let codes = try result.q.slice(axis: 1, from: stage, to: stage + 1).reshape([20])
      residual = try residual - codebook.gatherRows(codes)
      for (row, code) in codes.codes.enumerated() {
        for l in 0..<4 {
          expected[isShared ? 0 : stage][Int(code) * 4 + l] -=
            0.7 * 2 / 80 * residual.values[row * 4 + l]
        }
      }
    }
    for (own, gradient) in zip(layer.layers, expected) {
      #expect(isClose(own.codebook.grad!.values, gradient, 1e-6))
    }
  }

  /// The output's gradient g reaches z once, and by nu every codebook, through its affine map.
  @Test(arguments: [false, true]) func outputGradientReachesEveryCodebook(isShared: Bool) throws {
    let nu: Float = 0.25
    let layer = try layer(isShared: isShared) { ($0.syncNu, $0.affineLearningRate) = (nu, 2) }
    for own in layer.layers { own.affineScale!.setValues([0.1, -0.2, 0.3, 0]) }
    let z = try sample([20, 4], seed: 4).requiringGrad()
    let g = try sample([20, 4], seed: 5)
    let result = try layer.quantize(z)
    try result.zq.backward(g)
    #expect(z.grad!.values == g.values)
    var expected = [[Float]](repeating: [Float](repeating: 0, count: 24), count: 3)
    let factor: [Float] = [1.2, 0.6, 1.6, 1]
    for (index, code) in result.q.codes.enumerated() {
      let (row, stage) = (index / 3, isShared ? 0 : index % 3)
      for l in 0..<4 {
        expected[stage][Int(code) * 4 + l] += nu * factor[l] * g.values[row * 4 + l]
      }
    }
    for (own, gradient) in zip(layer.layers, expected) {
      #expect(isClose(own.codebook.grad!.values, gradient, 1e-6))
      #expect(own.affineBias!.grad!.values.contains { $0 != 0 })
    }
  }

  @Test(arguments: [OutputGradient.rotation, .directional])
  func estimatorsMoveFromTheVectorsToTheSum(gradient: OutputGradient) throws {
    let layer = try layer {
      $0.gradient = gradient
      if gradient == .directional { $0.directionalVariance = 0 }
    }
    let z = try sample([20, 4], seed: 6).requiringGrad()
    let g = try sample([20, 4], seed: 7)
    let result = try layer.quantize(z)
    try result.zq.backward(g)
    let leaf = try z.detached().requiringGrad()
    let sum = try layer.decode(result.q).detached()
    let expected =
      gradient == .rotation
      ? try rotated(from: leaf, to: sum)
      : try directional(from: leaf, to: sum, variance: 0, generator: Generator(seed: 0))
    try expected.backward(g)
    #expect(isClose(result.zq.values, sum.values, 1e-6))
    #expect(isClose(z.grad!.values, leaf.grad!.values, 1e-5))
    #expect(layer.layers.allSatisfy { ($0.codebook.grad != nil) == (gradient == .directional) })
  }

  // MARK: In-place steps

  /// The gradient of the sum of the stages' mean squared errors, and of the regulariser once.
  @Test(arguments: [Float(0), 0.5]) func sharedCodebookStepsForAllStages(weight: Float) throws {
    let layer = try layer(isShared: true) { $0.orthogonalWeight = weight }
    let (start, z) = (layer.layers[0].codebook.values, try sample([20, 4], seed: 8))
    layer.isTraining = false
    let codes = try layer.encode(z)
    layer.isTraining = true

    let book = try Tensor(start, shape: [6, 4]).requiringGrad()
    var residual = z
    for stage in 0..<3 {
      let own = try codes.slice(axis: 1, from: stage, to: stage + 1).reshape([20])
      let values = try book.gatherRows(own)
      try (residual - values).square().mean().backward()
      residual = try residual - values.detached()
    }
    if weight > 0 { try (orthogonalRegularizer(book) * weight).backward() }
    let expected = zip(start, book.grad!.values).map { $0 - 0.3 * $1 }

    try layer.stepInPlace(learningRate: 0.3, momentum: 0)
    let result = try layer.quantize(z)
    #expect(isClose(layer.layers[0].codebook.values, expected, 1e-6))
    #expect(result.q.codes == codes.codes)
    #expect(try layer.decode(result.q).values == result.zq.values)
  }

  @Test func ownCodebooksEachStepOnTheirResidual() throws {
    let layer = try layer()
    try layer.stepInPlace()
    let z = try sample([60, 4], seed: 9)
    let before = layer.layers.map(\.codebook.values)
    let losses = try (0..<20).map { _ in try layer.quantize(z).loss.item() }
    for (own, old) in zip(layer.layers, before) { #expect(own.codebook.values != old) }
    #expect(losses.last! < losses.first!)
    #expect(layer.trainableParameters.isEmpty)
  }

  // MARK: Start, replacement, statistics

  @Test func stagesStartOnTrueResiduals() throws {
    let layer = try layer { ($0.start, $0.codeCount) = (.kMeans, 16) }
    let z = try sample([400, 4], seed: 10, mean: 20)
    let result = try layer.quantize(z)
    let losses = result.stageLosses.values
    #expect(result.activeCodes == 48)
    #expect(losses[0] < 0.6 && losses[1] < 0.7 * losses[0] && losses[2] < 0.7 * losses[1])
  }

  @Test func replacementTakesTheStagesOwnResidual() throws {
    let layer = try layer(stages: 2) { $0.replaceFrequency = 1 }
    let first = [Float](repeating: 100, count: 24)
    layer.layers[0].codebook.setValues(first)
    let z = try sample([10, 4], seed: 11, mean: 100, scale: 0.5)
    _ = try layer.quantize(z)
    // The first stage's unused codes land on the vectors, the second's on what is left of them.
    #expect(layer.layers[0].codebook.values.allSatisfy { abs($0 - 100) < 8 })
    #expect(layer.layers[1].codebook.values.allSatisfy { abs($0) < 8 })
  }

  /// A code that any stage uses stays; the others come from the vectors of all stages.
  @Test func sharedReplacementTakesEveryStage() throws {
    let layer = try layer(stages: 2, isShared: true) {
      ($0.replaceFrequency, $0.codeCount) = (1, 22)
    }
    let codebook = layer.layers[0].codebook
    codebook.setValues(
      [Float](repeating: 100, count: 4) + [0, 0, 0, 0]
        + [Float](repeating: 500, count: 80))
    let z = try sample([10, 4], seed: 11, mean: 100, scale: 0.5)
    #expect(Set(try layer.quantize(z).q.codes) == [0, 1])
    let values = codebook.values
    #expect(Array(values[..<8]) == [100, 100, 100, 100, 0, 0, 0, 0])
    let (near, far) = (
      values[8...].filter { abs($0) < 8 }, values[8...].filter { abs($0 - 100) < 8 }
    )
    #expect(near.count + far.count == 80)
    #expect(near.count >= 8 && far.count >= 8)
  }

  @Test func sharedStatisticsTakeEveryStage() throws {
    let layer = try layer(isShared: true) {
      ($0.emaDecay, $0.emaManual) = (0.5, true)
    }
    let z = try sample([20, 4], seed: 12)
    let result = try layer.quantize(z)
    let statistics = try #require(layer.layers[0].book.statistics)
    let counts = (0..<6).map { code in Float(result.q.codes.filter { $0 == code }.count) }
    #expect(statistics.pendingCounts.values == counts)
    #expect(statistics.pendingCounts.values.reduce(0, +) == 60)
  }

  @Test func refusesWhatStagesContradict() {
    #expect(
      errorText { try layer(stages: 0) }
        == "[residual_vector_quant] stages = 0: must be in 1...65536")
    #expect(
      errorText { try layer { $0.codebookNorm = .l2 } }.hasPrefix(
        "[residual_vector_quant] cb_norm = l2: codes of a fixed scale cannot follow residuals"))
    #expect(
      errorText { try layer(isShared: true) { $0.codeSize = 2 } }.hasPrefix(
        "[residual_vector_quant] code_size = 2: stages that share a codebook share its space"))
    #expect(
      errorText { try layer { ($0.norm, $0.normGroups) = (.group, 3) } }
        == "[residual_vector_quant] norm_groups = 3: "
        + "must be at least 1 and divide the 4 elements of a code")
  }
}
