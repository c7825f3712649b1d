import VQKernels

/// A matrix that is multiplied by `rows` rows at a time, for the steps of a recurrent layer.
struct RepeatedProduct {
  private let matrix: PackedMatrix
  private let scratch: Storage

  /// `weight` is [depth, width], or [width, depth] where `transposed`.
  init(rows: Int, depth: Int, width: Int, _ weight: Tensor, transposed: Bool) throws {
    matrix = PackedMatrix(
      rows: rows, depth: depth, width: width, transposed: transposed, threads: threadCount)
    scratch = try Storage(.float32, count: matrix.scratchCount)
    matrix.prepare(weight.storage.floats, scratch: scratch.floats)
  }

  /// `out` [rows, width] = `x` [rows, depth] times the matrix, where `adds` plus what it holds.
  func multiply(
    _ x: UnsafePointer<Float>, adds: Bool, _ out: UnsafeMutablePointer<Float>
  ) {
    matrix.multiply(x, adds: adds, out, scratch: scratch.floats)
  }
}
