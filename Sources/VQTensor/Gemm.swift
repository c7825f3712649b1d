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
    vq_adopt_thread_count()
    let status = dnnl_sgemm(
      transposeA ? 84 : 78, transposeB ? 84 : 78, Int64(m), Int64(n), Int64(k), alpha,
      a, Int64(lda), b, Int64(ldb), beta, c, Int64(ldc))
    guard status == dnnl_success else {
      throw VQError.library("oneDNN", "dnnl_sgemm", status: Int(status.rawValue))
    }
  #else
    blasGemm(
      transposeA: transposeA, transposeB: transposeB, m: m, n: n, k: k, alpha: alpha, a, lda: lda,
      b, ldb: ldb, beta: beta, c, ldc: ldc)
  #endif
}

/// The same on OpenBLAS, one thread a block of rows of `c`.
func blasGemm(
  transposeA: Bool, transposeB: Bool, m: Int, n: Int, k: Int, alpha: Float,
  _ a: UnsafePointer<Float>, lda: Int, _ b: UnsafePointer<Float>, ldb: Int, beta: Float,
  _ c: UnsafeMutablePointer<Float>, ldc: Int
) {
  openblas_set_num_threads(1)
  let blocks = threadCount
  let rows = (m + blocks - 1) / blocks
  parallelFor(m, grain: max(rows, 16)) { range in
    cblas_sgemm(
      CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans,
      Int32(range.count), Int32(n), Int32(k), alpha,
      a + range.lowerBound * (transposeA ? 1 : lda), Int32(lda), b, Int32(ldb), beta,
      c + range.lowerBound * ldc, Int32(ldc))
  }
}
