import Testing
import VQTesting

@testable import VQQuantizers

@Suite struct KMeansTests {
  @Test func separatesClusters() throws {
    let x = try Tensor([0, 10, 1, 11, 12, 2], shape: [6, 1])
    let result = try kmeans(x, k: 2, seed: 3)
    #expect(result.centroids.values.sorted() == [1, 11])
    #expect(result.inertia == 4)
    #expect(result.codes.codes[0] == result.codes.codes[2])
    #expect(result.codes.codes[0] != result.codes.codes[1])
  }

  @Test func givenCentroidsMoveToTheMeans() throws {
    let x = try Tensor([0, 0, 2, 0, 10, 4, 10, 6], shape: [4, 2])
    let start = try Tensor([1, 1, 9, 9], shape: [2, 2])
    let result = try kmeans(x, k: 2, initial: .centroids(start))
    #expect(result.centroids.values == [1, 0, 10, 5])
    #expect(result.codes.codes == [0, 0, 1, 1])
    #expect(result.inertia == 4)
    // One update moves the centroids; the next assignment changes no code.
    #expect(result.iterations == 1)
    #expect(start.values == [1, 1, 9, 9])
  }

  @Test(arguments: [0, 1, 2, 5, 20])
  func inertiaNeverRises(iterations: Int) throws {
    let x = try sample([700, 5], seed: 1, mean: 3)
    let before = try kmeans(x, k: 60, iterations: iterations, initial: .random, seed: 8)
    let after = try kmeans(x, k: 60, iterations: iterations + 1, initial: .random, seed: 8)
    // Rounding 60 x 5 means to float32 moves the inertia by at most n d eps^2 max^2.
    #expect(after.inertia <= before.inertia + 700 * 5 * 0x1p-48 * 64)
  }

  @Test func codesAndInertiaBelongToTheCentroids() throws {
    let x = try sample([300, 4], seed: 2)
    let result = try kmeans(x, k: 20, iterations: 2, seed: 1)
    let (codes, distances) = try nearestCodes(x, result.centroids)
    #expect(result.codes.codes == codes.codes)
    // Distances are rounded to float32, the inertia is not.
    let sum = distances.values.reduce(0.0) { $0 + Double($1) }
    #expect(abs(result.inertia - sum) <= 0x1p-24 * sum)
    #expect(result.iterations == 2)
  }

  /// Two equal start centroids leave the second without points.
  @Test func emptyClusterTakesTheFarthestPoint() throws {
    let x = try Tensor([0, 1, 100], shape: [3, 1])
    let start = try Tensor([0, 0], shape: [2, 1])
    let result = try kmeans(x, k: 2, initial: .centroids(start))
    #expect(result.centroids.values == [0.5, 100])
    #expect(result.inertia == 0.5)
  }

  @Test(arguments: [1, 3, 4]) func keepsTheNumberOfCodesBeyondThePoints(points: Int) throws {
    let x = try sample([points, 3], seed: 4, mean: 2)
    for initial in [KMeansStart.plusPlus, .random] {
      let result = try kmeans(x, k: 9, initial: initial, seed: 5)
      #expect(result.centroids.shape == [9, 3])
      #expect(Set(result.codes.codes).count == points)
      #expect(result.inertia == 0)
      // Noise of 1% of a point's length keeps the repeated codes apart.
      let rows = Set((0..<9).map { row in Array(result.centroids.values[row * 3..<row * 3 + 3]) })
      #expect(rows.count == 9)
    }
  }

  @Test func allPointsEqual() throws {
    let x = try Tensor([Float](repeating: 0, count: 12), shape: [6, 2])
    let result = try kmeans(x, k: 4)
    #expect(result.inertia == 0)
    #expect(result.centroids.values.allSatisfy { $0 == 0 })
  }

  @Test(arguments: [Float(1e-38), 1, 1e18, 1e38]) func scaleDoesNotMatter(scale: Float) throws {
    let values: [Float] = [0, 1, 2, 100, 101, 102].map { $0 / 128 }
    let unit = try Tensor(values, shape: [6, 1])
    // Not `unit * scale`: that kernel flushes denormals, which k-means keeps.
    let x = try Tensor(values.map { $0 * scale }, shape: [6, 1])
    let result = try kmeans(x, k: 2, seed: 2)
    #expect(result.codes.codes == (try kmeans(unit, k: 2, seed: 2)).codes.codes)
    #expect(
      isClose(result.centroids.values.sorted().map { $0 / scale }, [1 / 128, 101 / 128], 1e-6))
    #expect(result.inertia.isFinite)
  }

  /// k-means++ finds clusters that uniform draws miss.
  @Test func plusPlusStartsNearEveryCluster() throws {
    let centers = try sample([20, 2], seed: 6, scale: 1000)
    var rows: [Float] = []
    let noise = try sample([400, 2], seed: 7).values
    for i in 0..<400 {
      for l in 0..<2 { rows.append(centers.values[i % 20 * 2 + l] + noise[i * 2 + l]) }
    }
    let x = try Tensor(rows, shape: [400, 2])
    // Within-cluster inertia is about n d = 800; one missed cluster costs more than 1e4.
    #expect(try kmeans(x, k: 20, seed: 1).inertia < 1600)
  }

  @Test func sameForEveryThreadCount() throws {
    let x = try sample([3000, 6], seed: 9, mean: 500)
    let one = try withThreads(1) { try kmeans(x, k: 40, iterations: 5, seed: 1) }
    let two = try withThreads(2) { try kmeans(x, k: 40, iterations: 5, seed: 1) }
    #expect(one.centroids.values == two.centroids.values)
    #expect(one.codes.codes == two.codes.codes)
    #expect(one.inertia == two.inertia)
  }

  @Test func refusesBadInput() throws {
    let x = try Tensor.ones([4, 2])
    #expect(
      errorText { try kmeans(x, k: 0) }
        == "[kmeans] k = 0: must be at least 1 and fit in int32")
    #expect(
      errorText { try kmeans(x, k: 2, iterations: -1) }
        == "[kmeans] iterations = -1: must be at least 0")
    #expect(
      errorText { try kmeans(.ones([4]), k: 2) } == "[kmeans] shape [4]: x [n, d] is required")
    #expect(
      errorText { try kmeans(.ones([0, 2]), k: 2) }
        == "[kmeans] shape [0, 2] has no elements: at least one point of at least one element is required"
    )
    #expect(
      errorText { try kmeans(Tensor([1, .nan], shape: [2, 1]), k: 2) }
        == "[kmeans] x holds nan at flat index 1: every element must be finite")
    #expect(
      errorText { try kmeans(x, k: 2, initial: .centroids(.ones([3, 2]))) }
        == "[kmeans] shapes [3, 2] and [2, 2]: initial centroids must be [k, d]")
    #expect(
      errorText {
        try kmeans(x, k: 1, initial: .centroids(Tensor([1, .infinity], shape: [1, 2])))
      }
        == "[kmeans] init holds inf at flat index 1: every element must be finite")
    #expect(
      errorText { try kmeans(Tensor(codes: [1], shape: [1, 1]), k: 1) }
        == "[kmeans] dtype int32: float32 is required")
  }
}
