import COpenBLAS
import VQKernels

/// The mean of vectors, and L with L L^T = their unbiased covariance: no square root is taken of
/// what rounding left.
package struct CovarianceRoot {
  package let mean: [Double]
  /// L [d, rank] by columns, rank at most d.
  private let values: [Double]
  private let rank: Int

  /// - Parameter x: [rows, columns], finite, of at least two rows and one column; read in blocks.
  /// - Throws: where it is interrupted, or has no memory.
  package init(
    _ operation: String, _ x: UnsafePointer<Double>, rows: Int, columns d: Int
  ) throws {
    let block = max(1024, 2 * d)
    guard rows <= Int(Int32.max), d <= 20_000 else { throw VQError.overflow(operation, [rows, d]) }
    try requireMemory(bytes: 8 * d * (d + block))
    try prepareProducts()
    var mean = [Double](repeating: 0, count: d)
    var (values, rank) = ([Double](), 0)
    try interruptible(operation) {
      for row in 0..<rows { for i in 0..<d { mean[i] += x[row * d + i] } }
      for i in 0..<d { mean[i] /= Double(rows) }
      let scale = 1 / Double(rows - 1).squareRoot()
      for start in stride(from: 0, to: rows, by: block) {
        if loopIsStopped() { return }
        for row in start..<min(start + block, rows) {
          for i in 0..<d { values.append((x[row * d + i] - mean[i]) * scale) }
        }
        let count = values.count / d
        try makeTriangular(operation, &values, rows: d, columns: count)
        rank = min(d, count)
        values.removeLast((count - rank) * d)
      }
    }
    (self.mean, self.values, self.rank) = (mean, values, rank)
  }

  /// The trace of the covariance.
  package var trace: Double { values.reduce(0) { $0 + $1 * $1 } }

  /// The trace of `(S T)^(1/2)`, S and T the covariances: the sum of the singular values of L^T M.
  package func traceOfRoot(with other: CovarianceRoot, _ operation: String) throws -> Double {
    let d = mean.count
    var (m, n, info) = (Int32(rank), Int32(other.rank), Int32(0))
    var product = [Double](repeating: 0, count: rank * other.rank)
    var singular = [Double](repeating: 0, count: min(rank, other.rank))
    var integers = [Int32](repeating: 0, count: 8 * singular.count)
    var (job, one) = (CChar(UInt8(ascii: "N")), Int32(1))
    try prepareProducts()
    callingLibrary {
      cblas_dgemm(
        CblasColMajor, CblasTrans, CblasNoTrans, m, n, Int32(d), 1, values, Int32(d), other.values,
        Int32(d), 0, &product, m)
      withWorkspace { work, length in
        dgesdd_(
          &job, &m, &n, &product, &m, &singular, nil, &one, nil, &one, work, &length,
          &integers, &info, 1)
      }
    }
    guard info == 0 else {
      throw VQError.misuse(operation, "LAPACK found no singular values (dgesdd, info = \(info))")
    }
    return singular.reduce(0, +)
  }
}

/// `a` [rows, columns], by columns, becomes the L of L Q: zeros above the diagonal.
private func makeTriangular(
  _ operation: String, _ a: inout [Double], rows: Int, columns: Int
) throws {
  var (m, n, info) = (Int32(rows), Int32(columns), Int32(0))
  var tau = [Double](repeating: 0, count: min(rows, columns))
  callingLibrary {
    withWorkspace { work, length in dgelqf_(&m, &n, &a, &m, &tau, work, &length, &info) }
  }
  guard info == 0 else { throw VQError.misuse(operation, "LAPACK: dgelqf, info = \(info)") }
  for column in 1..<max(1, min(rows, columns)) {
    for row in 0..<column { a[column * rows + row] = 0 }
  }
}

/// Calls a LAPACK routine for the length of workspace that it wants, then with it.
private func withWorkspace(_ call: (UnsafeMutablePointer<Double>, inout Int32) -> Void) {
  var (wanted, length) = (0.0, Int32(-1))
  call(&wanted, &length)
  length = Int32(wanted)
  var work = [Double](repeating: 0, count: Int(length))
  call(&work, &length)
}
