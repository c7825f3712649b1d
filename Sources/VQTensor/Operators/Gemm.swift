import COpenBLAS
import CPlatform
import VQKernels

#if VQ_ONEDNN
  import COneDNN
#endif

/// Who multiplies the tiles of a matrix product.
enum ProductLibrary {
  case openBLAS
  #if VQ_ONEDNN
    case oneDNN
    static let standard = ProductLibrary.oneDNN
  #else
    static let standard = ProductLibrary.openBLAS
  #endif

  /// The faster for a product: oneDNN's kernel without AVX-512 takes twice as long where rows begin
  /// a multiple of a page from each other.
  static func best(_ m: Int, _ n: Int, _ k: Int, rowLengths: [Int]) -> ProductLibrary {
    let isPaged = rowLengths.contains { $0 % 1024 == 0 }
    let isCounted = ([m, n, k] + rowLengths).allSatisfy { $0 <= Int(Int32.max) }
    let isLarge = Double(m) * Double(n) * Double(k) >= 0x1p24
    return isPaged && isCounted && isLarge && !vq_has_avx512() ? .openBLAS : .standard
  }
}

/// `c = alpha * op(a) op(b) + beta * c`, row-major: op(a) [m, k], op(b) [k, n], c [m, n].
/// `lda`, `ldb`, `ldc` are row lengths in memory.
///
/// A tile of `c` is one thread's. The tiles follow from the sizes alone, so that the result does
/// not depend on the threads.
func gemm(
  transposeA: Bool = false, transposeB: Bool = false, m: Int, n: Int, k: Int,
  alpha: Float = 1, _ a: UnsafePointer<Float>, lda: Int, _ b: UnsafePointer<Float>, ldb: Int,
  beta: Float = 0, _ c: UnsafeMutablePointer<Float>, ldc: Int,
  library: ProductLibrary? = nil
) throws {
  if m == 0 || n == 0 { return }
  let library = library ?? .best(m, n, k, rowLengths: [lda, ldb, ldc])
  if library == .openBLAS, [m, n, k, lda, ldb, ldc].contains(where: { $0 > Int(Int32.max) }) {
    throw VQError.overflow("gemm", [m, n, k])
  }
  let (lda, ldb) = (max(lda, 1), max(ldb, 1))
  try prepareProducts()
  try forEachProductTile(m, n, k) { tile in
    try multiply(
      transposeA: transposeA, transposeB: transposeB, m: tile.rows, n: tile.columns, k: tile.depth,
      alpha: alpha, a + tile.inA(lda, isTransposed: transposeA), lda: lda,
      b + tile.inB(ldb, isTransposed: transposeB), ldb: ldb, beta: tile.start > 0 ? 1 : beta,
      c + tile.top * ldc + tile.left, ldc: ldc, library: library)
  }
}

/// A part of a product that one call of a library takes.
struct ProductTile {
  let top, left, start: Int
  let rows, columns, depth: Int

  /// Where its part of `a` begins, and of `b`.
  func inA(_ lda: Int, isTransposed: Bool) -> Int {
    isTransposed ? top + start * lda : top * lda + start
  }
  func inB(_ ldb: Int, isTransposed: Bool) -> Int {
    isTransposed ? left * ldb + start : left + start * ldb
  }
}

/// Calls `body` for the tiles of a product, those that write the same elements one after another.
func forEachProductTile(
  _ m: Int, _ n: Int, _ k: Int, _ body: (ProductTile) throws -> Void
) throws {
  let (rows, columns) = gemmTile(m, n)
  let down = (m + rows - 1) / rows
  let across = (n + columns - 1) / columns
  try parallelForEach(down * across) { tile in
    let (top, left) = (tile / across * rows, tile % across * columns)
    // A part takes a fraction of a second: between parts a call can be interrupted.
    for start in stride(from: 0, to: max(k, 1), by: deepest) {
      if start > 0, loopIsStopped() { return }
      try body(
        ProductTile(
          top: top, left: left, start: start, rows: min(rows, m - top),
          columns: min(columns, n - left), depth: min(deepest, k - start)))
    }
  }
}

/// The depth of a product that one call of a library takes.
private let deepest = 1 << 12

/// `out = transpose(a) b` of tall matrices, a [k, m], b [k, n], out [m, n]: rows in sixteen parts,
/// whose products are added in order.
func gemmOfColumns(
  m: Int, n: Int, k: Int, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>
) throws {
  let depth = max(256, (k + 15) / 16)
  let count = (k + depth - 1) / depth
  let parts = try Storage(.float32, count: count * m * n)
  try prepareProducts()
  try parallelForEach(count) { part in
    let start = part * depth
    try multiply(
      transposeA: true, transposeB: false, m: m, n: n, k: min(depth, k - start), alpha: 1,
      a + start * m, lda: m, b + start * n, ldb: n, beta: 0, parts.floats + part * m * n,
      ldc: n, library: .standard)
  }
  sumParts(parts.floats, count: count, size: m * n, out)
}

/// Calls `body` with one thread for the library's own loops, as the team's threads share the work,
/// and without signals.
func callingLibrary<Result>(_ body: () throws -> Result) rethrows -> Result {
  let before = vq_enter_library()
  defer { vq_leave_library(before) }
  return try body()
}

/// The product of `gemm` on the calling thread alone, after `prepareProducts`.
func multiply(
  transposeA: Bool = false, transposeB: Bool = false, m: Int, n: Int, k: Int, alpha: Float = 1,
  _ a: UnsafePointer<Float>, lda: Int, _ b: UnsafePointer<Float>, ldb: Int, beta: Float = 0,
  _ c: UnsafeMutablePointer<Float>, ldc: Int, library: ProductLibrary = .standard
) throws {
  #if VQ_ONEDNN
    // dnnl_sgemm leaves c alone where there is nothing to add.
    if library == .oneDNN, k > 0 {
      return try callingLibrary {
        try OneDNN.check(
          dnnl_sgemm(
            transposeA ? 84 : 78, transposeB ? 84 : 78, Int64(m), Int64(n), Int64(k), alpha,
            a, Int64(lda), b, Int64(ldb), beta, c, Int64(ldc)), "dnnl_sgemm")
      }
    }
  #endif
  cblas_sgemm(
    CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans,
    Int32(m), Int32(n), Int32(k), alpha, a, Int32(lda), b, Int32(ldb), beta, c, Int32(ldc))
}

/// About sixteen tiles, none smaller than 128 x 128, where packing the operands costs too much, and
/// none larger than 1024 x 1024.
private func gemmTile(_ m: Int, _ n: Int) -> (rows: Int, columns: Int) {
  var side = 128
  while side < 1024 && 8 * side * side <= m * n / 4 { side *= 2 }
  let columns = min(n, side)
  return (min(m, max(side, side * side / columns / 16 * 16)), columns)
}
