import Testing
import VQMetrics
import VQQuantizers
import VQTesting

@testable import VQTensor

@Suite struct FrechetDistanceTests {
  private func distance(_ a: [[Double]], _ b: [[Double]]) throws -> Double {
    let (x, y) = (a.flatMap { $0 }, b.flatMap { $0 })
    return try x.withUnsafeBufferPointer { x in
      try y.withUnsafeBufferPointer { y in
        try frechetDistance(
          Float64Matrix(x.baseAddress!, rows: a.count, columns: a[0].count),
          Float64Matrix(y.baseAddress!, rows: b.count, columns: b[0].count))
      }
    }
  }

  @Test func ofOneFeatureItIsClosedForm() throws {
    let a: [Double] = [1, 4, -2, 0.5, 7]
    let b: [Double] = [10, 12, 11]
    func moments(_ x: [Double]) -> (mean: Double, deviation: Double) {
      let mean = x.reduce(0, +) / Double(x.count)
      let squares = x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
      return (mean, (squares / Double(x.count - 1)).squareRoot())
    }
    let (p, q) = (moments(a), moments(b))
    let shift = p.mean - q.mean
    let spread = p.deviation - q.deviation
    let found = try distance(a.map { [$0] }, b.map { [$0] })
    #expect(abs(found - (shift * shift + spread * spread)) < 1e-12 * found)
  }

  @Test func ofShiftedRowsItIsTheSquareOfTheShift() throws {
    let generator = try Generator(seed: 3).normal([9, 12]).values.map(Double.init)
    let a = (0..<9).map { Array(generator[$0 * 12..<($0 + 1) * 12]) }
    let b = a.reversed().map { row in row.enumerated().map { $1 + ($0 == 2 ? 3 : 0) } }
    #expect(try abs(distance(a, a)) < 1e-12)
    #expect(try abs(distance(a, b) - 9) < 1e-12 * 9)
  }

  @Test func whatHasNoCovarianceIsRefused() throws {
    #expect(
      errorText { try distance([[1, 2]], [[1, 2], [3, 4]]) }
        == "[frechet_distance] shapes [1, 2] and [2, 2]: at least 2 rows of 1 feature are required, "
        + "as many features in both")
    #expect(
      errorText { try distance([[1], [2]], [[1], [.nan]]) }
        .hasPrefix("[frechet_distance] features_b"))
  }
}
