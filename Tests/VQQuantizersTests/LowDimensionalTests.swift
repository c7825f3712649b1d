import Testing
import VQTesting

@testable import VQQuantizers

/// Codes of fewer elements than vectors: projections before and after.
@Suite struct LowDimensionalTests {
  private func layer(
    codeSize: Int = 2, _ change: (inout VectorQuantOptions) -> Void = { _ in }
  ) throws -> VectorQuant {
    var options = VectorQuantOptions(featureSize: 6, codeCount: 5)
    options.codeSize = codeSize
    change(&options)
    return try VectorQuant(options)
  }

  private func parameter(_ layer: Module, _ name: String) throws -> Tensor {
    try #require(layer.namedParameters.first { $0.name == name }).tensor
  }

  @Test func projectsThereAndBack() throws {
    let layer = try layer()
    #expect(
      layer.namedParameters.map(\.name) == [
        "codebook", "project_in.weight", "project_in.bias", "project_out.weight",
        "project_out.bias",
      ])
    let z = try sample([4, 3, 6], seed: 1)
    let result = try layer.quantize(z)
    #expect(result.zq.shape == [4, 3, 6])
    #expect(result.z.shape == [4, 3, 2])
    #expect(result.q.shape == [4, 3])
    let inside =
      try z.matmul(parameter(layer, "project_in.weight").transposed())
      + parameter(layer, "project_in.bias")
    #expect(isClose(result.z.values, inside.values, 1e-6))
    let expected = nearestByDefinition(try result.z.reshape([12, 2]), layer.codebook)
    #expect(result.q.codes == expected.codes)
    let values = try layer.codebook.gatherRows(result.q.reshape([12]))
    let outside =
      try values.matmul(parameter(layer, "project_out.weight").transposed())
      + parameter(layer, "project_out.bias")
    #expect(isClose(result.zq.values, outside.values, 1e-6))
    // The loss is of what was compared.
    let error = try (result.z.reshape([12, 2]) - values).square().mean().item()
    #expect(isClose([try result.loss.item()], [error], 1e-6))
  }

  @Test func theFullSizeNeedsNoProjection() throws {
    let layer = try layer(codeSize: 6)
    var options = layer.options
    options.codeSize = nil
    let plain = try VectorQuant(options)
    #expect(layer.snapshot == plain.snapshot)
    #expect(
      errorText { try self.layer(codeSize: 0) }
        == "[vector_quant] code_size = 0: must be at least 1")
  }

  /// The output's gradient is that of the layer without quantization; the codes' projection sees
  /// codes.
  @Test(arguments: [VectorNorm.none, .l2, .batch]) func outputGradient(norm: VectorNorm) throws {
    let (layer, passing) = (try layer { $0.norm = norm }, try layer { $0.norm = norm })
    passing.isQuantizing = false
    let g = try sample([9, 6], seed: 2)
    let (z, same) = (
      try sample([9, 6], seed: 3).requiringGrad(), try sample([9, 6], seed: 3).requiringGrad()
    )
    let result = try layer.quantize(z)
    try result.zq.backward(g)
    try passing.quantize(same).zq.backward(g)
    #expect(isClose(z.grad!.values, same.grad!.values, 1e-6))
    let into = try parameter(layer, "project_in.weight").grad!.values
    #expect(isClose(into, try parameter(passing, "project_in.weight").grad!.values, 1e-6))
    let values = try layer.codebook.gatherRows(result.q)
    let expected = try g.transposed().matmul(values)
    #expect(
      isClose(try parameter(layer, "project_out.weight").grad!.values, expected.values, 1e-5))
  }

  /// With codes fixed the loss is smooth in z and in the projection; the encoder's side is all at
  /// beta 0.
  @Test(arguments: [VectorNorm.none, .l2]) func lossGradient(norm: VectorNorm) throws {
    let layer = try layer { ($0.beta, $0.norm, $0.codebookNorm) = (0, norm, norm) }
    layer.isTraining = false
    let z = try gridSample([4, 6], seed: 4)
    let codes = try layer.encode(z).codes
    try checkGradient(
      of: { inputs in
        #expect(try layer.encode(inputs[0]).codes == codes)
        return try layer.quantize(inputs[0]).loss
      }, at: [z], step: 0x1p-7)
  }

  @Test func decodesItsCodesUnderMasks() throws {
    let layer = try layer { $0.gradient = .rotation }
    layer.isTraining = false
    let z = try sample([40, 6], seed: 5)
    let mask = try Tensor(codes: (0..<40).map { $0 % 3 == 0 ? 0 : 1 }, shape: [40])
    let result = try layer.quantize(z, mask: mask)
    let decoded = try layer.decode(result.q).values
    #expect(decoded == result.zq.values)
    #expect(decoded[..<6].allSatisfy { $0 == 0 })
    #expect(try layer.decode(Tensor(codes: [-1, -1], shape: [2])).values.allSatisfy { $0 == 0 })
  }

  @Test func nothingKeptHasTheShapesOfSomething() throws {
    let layer = try layer()
    layer.isTraining = false
    let z = try sample([2, 3, 6], seed: 6)
    let result = try layer.quantize(
      z, mask: Tensor(codes: .init(repeating: 0, count: 6), shape: [2, 3]))
    let some = try layer.quantize(z)
    #expect(result.zq.shape == some.zq.shape)
    #expect(result.z.shape == some.z.shape)
    #expect(result.q.shape == some.q.shape)
    #expect(result.d.shape == some.d.shape)
    #expect(result.stageLosses.shape == some.stageLosses.shape)
  }

  /// The codebook lives in the projected space: start, replacement, statistics and in-place steps
  /// too.
  @Test(arguments: [Float(0), 0.8]) func trainsInTheProjectedSpace(decay: Float) throws {
    let layer = try layer {
      ($0.start, $0.replaceFrequency, $0.emaDecay) = (.kMeans, 2, decay)
    }
    if decay == 0 { try layer.stepInPlace() }
    let z = try sample([60, 6], seed: 7, mean: 3)
    let first = try layer.quantize(z)
    #expect(first.activeCodes == 5)
    let variance = try first.z.reshape([60, 2]).variance(axes: [0]).mean().item()
    #expect(try first.loss.item() < 0.6 * variance)
    for _ in 0..<4 { _ = try layer.quantize(z) }
    #expect(layer.codebook.shape == [5, 2])
    #expect(try layer.quantize(z).loss.item() <= first.loss.item() * 1.2)
  }

  /// Stages project each residual on their own. Without quantization the gradient is the derivative
  /// of the output, and with it the same: every stage's output is straight through.
  @Test func residualStagesPassTheDerivative() throws {
    func make() throws -> ResidualVectorQuant {
      try ResidualVectorQuant(layer(codeSize: 2).options, stages: 3)
    }
    let passing = try make()
    passing.isQuantizing = false
    let z = try gridSample([3, 6], seed: 8)
    try checkGradient(of: { try passing.quantize($0[0]).zq }, at: [z])
    let (quantizing, leaf, same) = (try make(), try z.requiringGrad(), try z.requiringGrad())
    let g = try sample([3, 6], seed: 9)
    try quantizing.quantize(leaf).zq.backward(g)
    try passing.quantize(same).zq.backward(g)
    #expect(isClose(leaf.grad!.values, same.grad!.values, 1e-5))
  }

  /// Each stage's commitment reaches z through its own projection alone.
  @Test func residualStagesCommitEach() throws {
    let residual = try ResidualVectorQuant(layer(codeSize: 2) { $0.beta = 0 }.options, stages: 3)
    residual.isTraining = false
    let z = try gridSample([3, 6], seed: 10)
    let codes = try residual.encode(z).codes
    let step: Float = 0x1p-8
    let leaf = try z.requiringGrad()
    try residual.quantize(leaf).loss.backward()
    let slope = try centralDifferences(z, step: step) {
      #expect(try residual.encode($0).codes == codes)
      return Double(try residual.quantize($0).loss.item())
    }
    #expect(isClose(leaf.grad!.values, slope, 2e-4))
    #expect(
      residual.layers.allSatisfy { layer in
        layer.namedParameters.contains { $0.name == "project_in.weight" && $0.tensor.grad != nil }
      })
  }
}
