import Testing
import VQTesting
import VQKernels

@testable import VQTensor

@Suite struct GemmTests {
  typealias Sizes = (m: Int, n: Int, k: Int)

  /// `alpha * op(a) op(b) + beta * c` with rows longer than the matrices, on one of the libraries.
  private func product(
    _ sizes: Sizes, transposeA: Bool, transposeB: Bool, alpha: Float, beta: Float, onBLAS: Bool
  ) throws -> (found: Tensor, expected: [Double]) {
    let (m, n, k) = sizes
    let (lda, ldb, ldc) = ((transposeA ? m : k) + 3, (transposeB ? k : n) + 2, n + 1)
    let a = try randomTensor([transposeA ? k : m, lda], seed: 1, from: -1, to: 1)
    let b = try randomTensor([transposeB ? n : k, ldb], seed: 2, from: -1, to: 1)
    let c = try randomTensor([m, ldc], seed: 3, from: -1, to: 1)
    let (x, y, before) = (a.values, b.values, c.values)
    var expected = before.map(Double.init)
    for i in 0..<m {
      for j in 0..<n {
        var sum = 0.0
        for l in 0..<k {
          sum +=
            Double(x[transposeA ? l * lda + i : i * lda + l])
            * Double(y[transposeB ? j * ldb + l : l * ldb + j])
        }
        expected[i * ldc + j] = Double(alpha) * sum + Double(beta) * expected[i * ldc + j]
      }
    }
    try c.mutate { out in
      try a.read { a in
        try b.read { b in
          try gemm(
            transposeA: transposeA, transposeB: transposeB, m: m, n: n, k: k, alpha: alpha, a,
            lda: lda, b, ldb: ldb, beta: beta, out, ldc: ldc,
            library: onBLAS ? .openBLAS : .standard)
        }
      }
    }
    return (c, expected)
  }

  /// k products of numbers below 1 in float32 are off by at most k * eps * k / 2.
  @Test(
    arguments: [(3, 2, 4), (1, 1, 1), (17, 33, 5), (300, 40, 20), (70, 290, 9), (600, 300, 2)],
    [false, true])
  func agreesWithFloat64(sizes: (Int, Int, Int), onBLAS: Bool) throws {
    for (transposeA, transposeB) in [(false, false), (true, false), (false, true), (true, true)] {
      let (found, expected) = try product(
        sizes, transposeA: transposeA, transposeB: transposeB, alpha: 0.5, beta: 2, onBLAS: onBLAS)
      let k = Double(sizes.2)
      expectClose(found, expected, relative: 0x1p-22, absolute: 0x1p-24 * k * k)
    }
  }

  @Test(arguments: [Float(0), 2])
  func noInnerElementsScale(beta: Float) throws {
    let c = try Tensor([1, 2, 3, .nan, 5, 6], shape: [2, 3])
    let none = try Tensor.zeros([0])
    try c.mutate { out in
      try none.read { a in
        try gemm(m: 2, n: 3, k: 0, a, lda: 0, a, ldb: 3, beta: beta, out, ldc: 3)
      }
    }
    let expected: [Float] = beta == 0 ? [0, 0, 0, 0, 0, 0] : [2, 4, 6, .nan, 10, 12]
    expectClose(c, expected.map(Double.init))
  }

  @Test func tilesDoNotDependOnThreads() throws {
    try expectThreadIndependent {
      try product(
        (600, 300, 5), transposeA: false, transposeB: true, alpha: 1, beta: 0, onBLAS: true
      ).found
    }
  }

  @Test(arguments: [1, 255, 257, 5000])
  func longSumsInParts(k: Int) throws {
    let (m, n) = (5, 7)
    let a = try randomTensor([k, m], seed: 1, from: -1, to: 1)
    let b = try randomTensor([k, n], seed: 2, from: -1, to: 1)
    func product() throws -> Tensor {
      let out = try Tensor.zeros([m, n])
      try out.mutate { out in
        try a.read { a in try b.read { b in try gemmOfColumns(m: m, n: n, k: k, a, b, out) } }
      }
      return out
    }
    let (x, y) = (a.values, b.values)
    let expected = (0..<m * n).map { index in
      (0..<k).reduce(0.0) { $0 + Double(x[$1 * m + index / n]) * Double(y[$1 * n + index % n]) }
    }
    expectClose(try product(), expected, relative: 0x1p-22, absolute: 0x1p-24 * Double(k))
    try expectThreadIndependent { try product() }
  }

  @Test func sizesBeyondTheLibraryThrow() throws {
    expectError("[gemm] sizes [1, 1, 2147483648]: their product does not fit in memory") {
      let x = UnsafeMutablePointer<Float>.allocate(capacity: 1)
      defer { x.deallocate() }
      return try gemm(
        m: 1, n: 1, k: 1 << 31, x, lda: 1 << 31, x, ldb: 1, x, ldc: 1, library: .openBLAS)
    }
  }
}
