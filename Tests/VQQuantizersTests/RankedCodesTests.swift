import Testing
import VQTesting

@testable import VQQuantizers

@Suite struct RankedCodesTests {
  struct Case: CustomTestStringConvertible {
    var n, k, d, m: Int
    var mean: Float = 0
    var scale: Float = 1
    var testDescription: String { "n \(n) k \(k) d \(d) m \(m) mean \(mean) scale \(scale)" }
  }

  /// All Float64 distances in index order, sorted with the lower index first on equality.
  private func rankedByDefinition(
    _ x: Tensor, _ codebook: Tensor, _ m: Int
  ) -> (codes: [Int32], distances: [Float]) {
    let (n, d, k) = (x.shape[0], x.shape[1], codebook.shape[0])
    let (points, rows) = (x.values.map(Double.init), codebook.values.map(Double.init))
    var (codes, distances): ([Int32], [Float]) = ([], [])
    for i in 0..<n {
      var all = [Double](repeating: 0, count: k)
      for j in 0..<k {
        for l in 0..<d {
          let difference = points[i * d + l] - rows[j * d + l]
          all[j] += difference * difference
        }
      }
      let order = all.indices.sorted { all[$0] < all[$1] || (all[$0] == all[$1] && $0 < $1) }
      codes += order.prefix(m).map(Int32.init)
      distances += order.prefix(m).map { Float(all[$0]) }
    }
    return (codes, distances)
  }

  @Test func handValues() throws {
    let codebook = try Tensor([1, 1, 2, 0, -1, 0, 0, 3], shape: [4, 2])
    let x = try Tensor([1, 2, 0, 0], shape: [2, 2])
    let (codes, distances) = try nearestCodes(x, codebook, count: 3)
    #expect(codes.shape == [2, 3] && distances.shape == [2, 3])
    #expect(codes.codes == [0, 3, 1, 2, 0, 1])
    #expect(distances.values == [1, 2, 5, 1, 2, 4])
  }

  @Test(arguments: [
    Case(n: 1, k: 1, d: 1, m: 1), Case(n: 100, k: 37, d: 1, m: 37),
    Case(n: 100, k: 700, d: 2, m: 5),
    Case(n: 257, k: 513, d: 3, m: 1), Case(n: 40, k: 1300, d: 64, m: 200),
    Case(n: 100, k: 1100, d: 17, m: 8, mean: 500),
    Case(n: 50, k: 300, d: 8, m: 9, mean: 500, scale: 1e-3),
    Case(n: 50, k: 100, d: 5, m: 3, scale: 1e18), Case(n: 50, k: 100, d: 4, m: 3, scale: 5e37),
    Case(n: 50, k: 100, d: 3, m: 100, scale: 1e-22),
  ])
  func equalsTheDefinition(_ size: Case) throws {
    let x = try sample([size.n, size.d], seed: 1, mean: size.mean, scale: size.scale)
    let codebook = try sample([size.k, size.d], seed: 2, mean: size.mean, scale: size.scale)
    let expected = rankedByDefinition(x, codebook, size.m)
    let (codes, distances) = try nearestCodes(x, codebook, count: size.m)
    #expect(codes.codes == expected.codes)
    #expect(distances.values == expected.distances)
  }

  @Test(arguments: [1, 7]) func firstColumnIsTheNearestCode(m: Int) throws {
    let (x, codebook) = (try sample([900, 24], seed: 3, mean: 9), try sample([600, 24], seed: 4))
    let ranked = try nearestCodes(x, codebook, count: m)
    let nearest = try nearestCodes(x, codebook)
    #expect(
      stride(from: 0, to: 900 * m, by: m).map { ranked.codes.codes[$0] } == nearest.codes.codes)
    #expect(
      stride(from: 0, to: 900 * m, by: m).map { ranked.squaredDistances.values[$0] }
        == nearest.squaredDistances.values)
  }

  /// More codes at one distance than candidates are kept.
  @Test func equalCodesStandInOrder() throws {
    let codebook = try Tensor.full([700, 3], 0.25)
    let found = try nearestCodes(sample([20, 3], seed: 5), codebook, count: 4)
    #expect(found.codes.codes == [[Int32]](repeating: [0, 1, 2, 3], count: 20).flatMap { $0 })
  }

  @Test func nearDuplicatesAreRankedExactly() throws {
    let base = try sample([16, 8], seed: 6)
    var rows = base.values
    for copy in 1...5 { rows += base.values.map { $0 + Float(copy) * $0.ulp } }
    let codebook = try Tensor(rows, shape: [96, 8])
    let x = try sample([100, 8], seed: 7)
    #expect(
      try nearestCodes(x, codebook, count: 7).codes.codes
        == rankedByDefinition(x, codebook, 7).codes)
  }

  @Test func sameForEveryThreadCount() throws {
    let (x, codebook) = (try sample([2001, 16], seed: 8), try sample([600, 16], seed: 9))
    try expectThreadIndependent {
      let found = try nearestCodes(x, codebook, count: 6)
      return [found.codes, found.squaredDistances]
    }
  }

  @Test func refusals() throws {
    let x = try Tensor.ones([3, 2])
    for count in [0, 4] {
      #expect(
        errorText { try nearestCodes(x, x, count: count) }
          == "[nearest_codes] topk = \(count): must be at least 1 and at most the 3 codes")
    }
    #expect(
      errorText { try nearestCodes(Tensor.ones([0, 2]), x, count: 1) }
        == "[nearest_codes] shape [0, 2] has no elements: x must have at least one row")
    #expect(
      errorText { try nearestCodes(Tensor([1, .nan], shape: [1, 2]), x, count: 2) }
        == "[nearest_codes] x holds nan at flat index 1: every element must be finite")
  }
}
