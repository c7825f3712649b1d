import Testing
import VQTesting

@testable import VQQuantizers

/// The definition: Float64 sums in index order, the lowest index on equality.
func nearestByDefinition(_ x: Tensor, _ codebook: Tensor) -> (codes: [Int32], distances: [Double]) {
  let (d, k) = (x.shape[1], codebook.shape[0])
  let (points, rows) = (x.values.map(Double.init), codebook.values.map(Double.init))
  var codes: [Int32] = []
  var distances: [Double] = []
  for i in 0..<x.shape[0] {
    var (least, nearest) = (Double.infinity, 0)
    for j in 0..<k {
      var sum = 0.0
      for l in 0..<d {
        let difference = points[i * d + l] - rows[j * d + l]
        sum += difference * difference
      }
      if sum < least { (least, nearest) = (sum, j) }
    }
    codes.append(Int32(nearest))
    distances.append(least)
  }
  return (codes, distances)
}

@Suite struct NearestCodesTests {
  struct Case: CustomTestStringConvertible {
    var n, k, d: Int
    var mean: Float = 0
    var scale: Float = 1
    var offset: Float = 0
    var testDescription: String {
      "n \(n) k \(k) d \(d) mean \(mean) scale \(scale) offset \(offset)"
    }
  }

  @Test func handValues() throws {
    let codebook = try Tensor([1, 1, 2, 0, -1, 0, 0, 3], shape: [4, 2])
    let x = try Tensor([1, 2, 3, -1, 0, 0.5], shape: [3, 2])
    let (codes, distances) = try nearestCodes(x, codebook)
    #expect(codes.codes == [0, 1, 0])
    #expect(distances.values == [1, 2, 1.25])
  }

  @Test(arguments: [
    Case(n: 1, k: 1, d: 1), Case(n: 300, k: 37, d: 1), Case(n: 300, k: 700, d: 2),
    Case(n: 257, k: 513, d: 3), Case(n: 129, k: 1024, d: 64), Case(n: 5, k: 64, d: 300),
    Case(n: 200, k: 1100, d: 17, mean: 500), Case(n: 200, k: 300, d: 8, mean: 500, scale: 1e-3),
    Case(n: 100, k: 300, d: 5, offset: 1e6), Case(n: 100, k: 300, d: 5, scale: 0x1p-133),
    Case(n: 100, k: 300, d: 5, scale: 1e18), Case(n: 60, k: 100, d: 4, scale: 5e37),
    Case(n: 60, k: 100, d: 4, offset: 1e20), Case(n: 100, k: 300, d: 3, scale: 1e-22),
  ])
  func equalsTheDefinition(_ size: Case) throws {
    let x = try sample([size.n, size.d], seed: 1, mean: size.mean + size.offset, scale: size.scale)
    let codebook = try sample([size.k, size.d], seed: 2, mean: size.mean, scale: size.scale)
    let expected = nearestByDefinition(x, codebook)
    let (codes, distances) = try nearestCodes(x, codebook)
    #expect(codes.codes == expected.codes)
    #expect(distances.values == expected.distances.map(Float.init))
  }

  @Test func lowestIndexOnEquality() throws {
    let codebook = try Tensor([Float](repeating: 0.25, count: 2000 * 3), shape: [2000, 3])
    #expect(
      try nearestCodes(sample([50, 3], seed: 3), codebook).codes.codes.allSatisfy { $0 == 0 })
    let line = try Tensor([3, 1, -1, 1, 3], shape: [5, 1])
    #expect(try nearestCodes(Tensor([0, 2, 5], shape: [3, 1]), line).codes.codes == [1, 0, 0])
  }

  /// Codes an ulp or two apart lie within the float32 bound and are ranked by the definition.
  @Test func nearDuplicatesAreRankedExactly() throws {
    let base = try sample([16, 8], seed: 4)
    var rows = base.values
    for copy in 1...5 { rows += base.values.map { $0 + Float(copy) * $0.ulp } }
    let codebook = try Tensor(rows, shape: [96, 8])
    let x = try sample([400, 8], seed: 5)
    #expect(try nearestCodes(x, codebook).codes.codes == nearestByDefinition(x, codebook).codes)
  }

  @Test func sameForEveryThreadCountAndSplit() throws {
    let x = try sample([3001, 16], seed: 6, mean: 500)
    let codebook = try sample([600, 16], seed: 7, mean: 500)
    let one = try withThreads(1) { try nearestCodes(x, codebook) }
    let two = try withThreads(2) { try nearestCodes(x, codebook) }
    #expect(one.codes.codes == two.codes.codes)
    #expect(one.squaredDistances.values == two.squaredDistances.values)
    let part = try Tensor(Array(x.values[(1000 * 16)..<(1007 * 16)]), shape: [7, 16])
    #expect(try nearestCodes(part, codebook).codes.codes == Array(one.codes.codes[1000..<1007]))
  }

  @Test func refusesWhatItCannotRank() throws {
    let codebook = try Tensor.ones([4, 2])
    func text(_ x: Tensor, _ codebook: Tensor) -> String {
      errorText { try nearestCodes(x, codebook) }
    }
    #expect(
      try text(.ones([3, 3]), codebook)
        == "[nearest_codes] shapes [3, 3] and [4, 2]: x [n, d] and codebook [k, d] with equal d are required"
    )
    #expect(
      try text(.ones([0, 2]), codebook)
        == "[nearest_codes] shape [0, 2] has no elements: x must have at least one row")
    #expect(
      try text(.ones([3, 2]), .ones([0, 2]))
        == "[nearest_codes] shape [0, 2] has no elements: the codebook must have at least one row")
    #expect(
      try text(.ones([3, 0]), .ones([2, 0]))
        == "[nearest_codes] shape [3, 0] has no elements: rows must have at least one element")
    #expect(
      try text(Tensor(codes: [1, 2], shape: [1, 2]), codebook)
        == "[nearest_codes] dtypes int32 and float32: float32 is required")
    #expect(
      try text(Tensor([1, 2, 3, .nan], shape: [2, 2]), codebook)
        == "[nearest_codes] x holds nan at flat index 3: every element must be finite")
    #expect(
      try text(.ones([3, 2]), Tensor([1, .infinity, 1, 1], shape: [2, 2]))
        == "[nearest_codes] codebook holds inf at flat index 1: every element must be finite")
    var values = [Float](repeating: 0, count: 2000)
    values[777] = -.infinity
    values[1999] = .nan
    #expect(
      try text(Tensor(values, shape: [1000, 2]), codebook)
        == "[nearest_codes] x holds -inf at flat index 777: every element must be finite")
  }
}
