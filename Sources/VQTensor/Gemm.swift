import COpenBLAS
import CPlatform
import VQKernels

#if VQ_ONEDNN
  import COneDNN
#endif

/// `c = alpha * op(a) op(b) + beta * c`, row-major: op(a) [m, k], op(b) [k, n], c [m, n].
/// `lda`, `ldb`, `ldc` are row lengths in memory.
func gemm(
  transposeA: Bool = false, transposeB: Bool = false, m: Int, n: Int, k: Int,
  alpha: Float = 1, _ a: UnsafePointer<Float>, lda: Int, _ b: UnsafePointer<Float>, ldb: Int,
  beta: Float = 0, _ c: UnsafeMutablePointer<Float>, ldc: Int
) throws {
  if m == 0 || n == 0 { return }
  #if VQ_ONEDNN
    // dnnl_sgemm leaves c alone where there is nothing to add.
    if k == 0 {
      return try blasGemm(
        transposeA: transposeA, transposeB: transposeB, m: m, n: n, k: k, alpha: alpha, a,
        lda: lda, b, ldb: ldb, beta: beta, c, ldc: ldc)
    }
    vq_adopt_thread_count()
    let status = dnnl_sgemm(
      transposeA ? 84 : 78, transposeB ? 84 : 78, Int64(m), Int64(n), Int64(k), alpha,
      a, Int64(lda), b, Int64(ldb), beta, c, Int64(ldc))
    guard status == dnnl_success else {
      throw VQError.library("oneDNN", "dnnl_sgemm", status: Int(status.rawValue))
    }
  #else
    try blasGemm(
      transposeA: transposeA, transposeB: transposeB, m: m, n: n, k: k, alpha: alpha, a, lda: lda,
      b, ldb: ldb, beta: beta, c, ldc: ldc)
  #endif
}

/// The same on OpenBLAS, one thread a tile of `c`. The tiles follow from the sizes alone, so that the
/// result does not depend on the threads.
func blasGemm(
  transposeA: Bool, transposeB: Bool, m: Int, n: Int, k: Int, alpha: Float,
  _ a: UnsafePointer<Float>, lda: Int, _ b: UnsafePointer<Float>, ldb: Int, beta: Float,
  _ c: UnsafeMutablePointer<Float>, ldc: Int
) throws {
  guard [m, n, k, lda, ldb, ldc].allSatisfy({ $0 <= Int(Int32.max) }) else {
    throw VQError.overflow("gemm", [m, n, k])
  }
  openblas_set_num_threads(1)
  let (lda, ldb) = (max(lda, 1), max(ldb, 1))
  let (rows, columns) = gemmTile(m, n)
  let down = (m + rows - 1) / rows
  let across = (n + columns - 1) / columns
  parallelFor(down * across, grain: 1) { tiles in
    for tile in tiles {
      let (top, left) = (tile / across * rows, tile % across * columns)
      cblas_sgemm(
        CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans,
        transposeB ? CblasTrans : CblasNoTrans,
        Int32(min(rows, m - top)), Int32(min(columns, n - left)), Int32(k), alpha,
        a + top * (transposeA ? 1 : lda), Int32(lda), b + left * (transposeB ? ldb : 1), Int32(ldb),
        beta, c + top * ldc + left, Int32(ldc))
    }
  }
}

/// About sixteen tiles, none smaller than 128 x 128, where packing the operands costs too much, and
/// none larger than 1024 x 1024.
private func gemmTile(_ m: Int, _ n: Int) -> (rows: Int, columns: Int) {
  var side = 128
  while side < 1024 && 8 * side * side <= m * n / 4 { side *= 2 }
  let columns = min(n, side)
  return (min(m, max(side, side * side / columns / 16 * 16)), columns)
}
