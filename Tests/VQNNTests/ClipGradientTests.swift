import Testing
import VQTesting

@testable import VQNN
@testable import VQTensor

@Suite struct ClipGradientTests {
  private func leaf(_ gradient: [Float]) throws -> Tensor {
    let leaf = try Tensor.zeros([gradient.count]).requiringGrad()
    leaf.grad = try Tensor(gradient, shape: [gradient.count])
    return leaf
  }

  @Test func jointNormIsScaledAsPyTorchDoes() throws {
    // clip_grad_norm_([a, b], 2.6) with gradients [3, 4] and [12]
    let (a, b) = (try leaf([3, 4]), try leaf([12]))
    let before = a.grad!
    #expect(try clipGradientNorm([a, b], maximum: 2.6) == 13)
    // The factor rounds twice, each product once.
    expectClose(
      a.grad!.values + b.grad!.values, [0.599999964, 0.799999952, 2.39999986],
      tolerance: 3 * 0x1p-24)
    #expect(before.values == [3, 4])
  }

  @Test func smallNormIsLeftAlone() throws {
    let a = try leaf([3, 4])
    #expect(try clipGradientNorm([a], maximum: 5.1) == 5)
    #expect(a.grad!.values == [3, 4])
  }

  @Test func parameterWithoutGradientDoesNotCount() throws {
    let b = try Tensor.zeros([1]).requiringGrad()
    #expect(try clipGradientNorm([try leaf([3, 4]), b], maximum: 9) == 5)
    #expect(try clipGradientNorm([], maximum: 9) == 0)
  }

  @Test func repeatedParameterCountsOnce() throws {
    let a = try leaf([3, 4])
    #expect(try clipGradientNorm([a, a], maximum: 1) == 5)
    #expect(abs(a.grad!.values[0] - 0.6) < 1e-6)
  }

  @Test func normKeepsFloatAccuracyAndIgnoresThreads() throws {
    let a = try Tensor.zeros([1_000_003]).requiringGrad()
    a.grad = try Tensor.full([1_000_003], 0.1)
    // sqrt(n) * 0.1 as float32 rounded once from Float64 sums.
    let one = try withThreads(1) { try clipGradientNorm([a], maximum: 1e9) }
    let two = try withThreads(2) { try clipGradientNorm([a], maximum: 1e9) }
    #expect(two == one)
    #expect(abs(one - 100.00015) <= 100 * 0x1p-23)
  }

  @Test func infiniteGradientIsRefusedAndKept() throws {
    let a = try leaf([.infinity, 1])
    #expect(
      errorText { try clipGradientNorm([a], maximum: 1) }
        == "[clip_grad_norm] norm = inf: the gradients must be finite")
    #expect(a.grad!.values == [.infinity, 1])
  }

  @Test func valuesAreClamped() throws {
    let a = try leaf([-3, 0.5, 4])
    try clipGradientValue([a], maximum: 1)
    #expect(a.grad!.values == [-1, 0.5, 1])
  }

  @Test func maximumOutOfRange() throws {
    #expect(
      errorText { try clipGradientNorm([], maximum: -1) }
        == "[clip_grad_norm] max_norm = -1.0: must be at least 0")
    #expect(
      errorText { try clipGradientValue([], maximum: .nan) }
        == "[clip_grad_value] clip_value = nan: must be at least 0")
  }
}
