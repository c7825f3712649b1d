import Testing
import VQTesting

@testable import VQMetrics
@testable import VQQuantizers

@Suite struct DivergenceTests {
  @Test func handValues() throws {
    let p = try Tensor([1, 2, 3, -1, 0, 0.5], shape: [3, 2])
    let c = try Tensor([1, 1, 2, 0, -1, 0, 0, 3], shape: [4, 2])
    // Least squared distances 1, 2, 1.25 one way and 1, 2, 1.25, 2 the other.
    #expect(try divergence(p, c) == 4.25 / 6)
    #expect(try divergence(c, p) == 6.25 / 8)
    #expect(try divergence(p, p) == 0)
  }

  @Test func isTheDefinition() throws {
    let (p, c) = (try sample([700, 7], seed: 1, mean: 3), try sample([90, 7], seed: 2, mean: 3))
    for (from, to) in [(p, c), (c, p)] {
      let distances = nearestByDefinition(from, to).distances
      let expected = distances.reduce(0, +) / Double(2 * distances.count)
      // Each distance is rounded to float32 once.
      #expect(abs(try divergence(from, to) - expected) <= expected * 0x1p-24)
    }
  }

  @Test func leadingAxesArePoints() throws {
    let p = try sample([24, 5], seed: 3)
    let c = try sample([6, 5], seed: 4)
    #expect(try divergence(p.reshape([2, 3, 4, 5]), c) == divergence(p, c))
    #expect(try divergenceBound(p.reshape([2, 3, 4, 5])) == divergenceBound(p))
  }

  @Test func theBoundIsTheDivergenceToTheMean() throws {
    let p = try sample([500, 6], seed: 5, mean: 2)
    let bound = try divergenceBound(p)
    let toMean = try divergence(p, p.mean(axes: [0], keepDims: true))
    // The mean is rounded to float32, and so is each distance.
    #expect(abs(bound - toMean) <= bound * 0x1p-22)
    let trained = try kmeans(p, k: 4).centroids
    #expect(try divergence(p, trained) < bound)
    #expect(try divergenceBound(Tensor([1, 2, 3], shape: [1, 3])) == 0)
    #expect(try divergenceBound(Tensor([0, 2], shape: [2, 1])) == 0.5)
  }

  @Test func refusesWhatHasNoDivergence() throws {
    let p = try Tensor.ones([4, 2])
    #expect(
      errorText { try divergence(p, .ones([3, 3])) }
        == "[divergence] shapes [4, 2] and [3, 3]: two sets of points [..., d] with equal d are required"
    )
    #expect(
      errorText { try divergence(p, .ones([0, 2])) }
        == "[divergence] shape [0, 2] has no elements: at least one point of at least one element is required"
    )
    #expect(
      errorText { try divergence(p, Tensor([.nan, 1], shape: [1, 2])) }
        == "[divergence] c holds nan at flat index 0: every element must be finite")
    #expect(
      errorText { try divergence(Tensor(codes: [1], shape: [1, 1]), p) }
        == "[divergence] dtypes int32 and float32: float32 is required")
    #expect(
      errorText { try divergenceBound(.ones([3])) }
        == "[divergence_bound] shape [3]: a set of points [..., d] is required")
    #expect(
      errorText { try divergenceBound(Tensor([1, .infinity], shape: [2, 1])) }
        == "[divergence_bound] p holds inf at flat index 1: every element must be finite")
  }
}
