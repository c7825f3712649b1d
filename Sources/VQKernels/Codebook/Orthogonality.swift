import COpenBLAS

/// How far the rows of a matrix are from an orthonormal set: `mean (E E^T - I)^2` over k x k for
/// `E` [k, d], in Float64.
///
/// For k > d only `S = E^T E` [d, d] is formed: `|E E^T|^2 = |S|^2`, so that the sum is
/// `|S|^2 - 2 tr S + k`.
public final class Orthogonality {
  public private(set) var value = 0.0
  private let k: Int
  private let d: Int
  private let rows: UnsafeMutablePointer<Double>  // [k, d]
  /// E^T E - I [d, d] for k > d, else E E^T - I [k, k].
  private let gram: UnsafeMutablePointer<Double>
  private let side: Int

  /// `x` [k, d], both at least 1.
  public init(_ x: UnsafePointer<Float>, rows k: Int, width d: Int) {
    self.k = k
    self.d = d
    side = min(k, d)
    rows = .allocate(capacity: k * d)
    gram = .allocate(capacity: side * side)
    for i in 0..<k * d { rows[i] = Double(x[i]) }
    let isTall = k > d
    product(
      transposeA: isTall, rows, columns: d, transposeB: !isTall, rows, columns: d, m: side, n: side,
      k: isTall ? k : d, gram)
    for i in 0..<side { gram[i * side + i] -= 1 }
    var squares = 0.0
    for i in 0..<side * side { squares += gram[i] * gram[i] }
    // |S - I|^2 = |S|^2 - 2 tr S + d is k - d short of the sum over k x k.
    value = (squares + Double(k - side)) / (Double(k) * Double(k))
  }

  deinit {
    rows.deallocate()
    gram.deallocate()
  }

  /// `out = scale * 4 / k^2 (E E^T - I) E`, which is `E (E^T E - I)` too.
  public func gradient(scale: Double, _ out: UnsafeMutablePointer<Float>) {
    let result = UnsafeMutablePointer<Double>.allocate(capacity: k * d)
    defer { result.deallocate() }
    if k > d {
      product(rows, columns: d, gram, columns: d, m: k, n: d, k: d, result)
    } else {
      product(gram, columns: k, rows, columns: d, m: k, n: d, k: k, result)
    }
    let factor = scale * 4 / (Double(k) * Double(k))
    for i in 0..<k * d { out[i] = Float(factor * result[i]) }
  }
}

/// `c = op(a) op(b)`, row-major, op(a) [m, k], op(b) [k, n]: tiles of fixed size, each on one
/// thread.
private func product(
  transposeA: Bool = false, _ a: UnsafePointer<Double>, columns lda: Int,
  transposeB: Bool = false, _ b: UnsafePointer<Double>, columns ldb: Int, m: Int, n: Int, k: Int,
  _ c: UnsafeMutablePointer<Double>
) {
  let tile = 128
  let across = (n + tile - 1) / tile
  useOneProductThread()
  parallelFor((m + tile - 1) / tile * across, grain: 1) { tiles in
    for index in tiles {
      let (top, left) = (index / across * tile, index % across * tile)
      cblas_dgemm(
        CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans,
        transposeB ? CblasTrans : CblasNoTrans, Int32(min(tile, m - top)),
        Int32(min(tile, n - left)),
        Int32(k), 1, a + top * (transposeA ? 1 : lda), Int32(lda),
        b + left * (transposeB ? ldb : 1),
        Int32(ldb), 0, c + top * n + left, Int32(n))
    }
  }
}
