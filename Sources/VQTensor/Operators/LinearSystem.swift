import COpenBLAS

/// X with `X W = values`, for values [m, d] and W [d, d], by LU decomposition in Float64; not
/// recorded.
///
/// - Returns: X [m, d]; nil where W is singular to working precision (its reciprocal condition
///   number is below 2^-52) or an element of the result is not finite.
package func solveRows(_ values: Tensor, _ w: Tensor) throws -> Tensor? {
  let operation = "solve_rows"
  try Tensor.requireFloats(operation, values, w)
  guard values.rank == 2, w.rank == 2, w.shape == [values.shape[1], values.shape[1]] else {
    throw VQError.shape(
      operation, [values.shape, w.shape], "values [m, d] and w [d, d] are required")
  }
  let (m, d) = (values.shape[0], values.shape[1])
  guard m <= Int(Int32.max), d <= 46_340 else { throw VQError.overflow(operation, [m, d]) }
  if values.count == 0 { return values.detached() }
  try requireMemory(bytes: 40 * (values.count + w.count))
  try prepareProducts()
  // Read by columns, W is W^T and values are values^T: W^T X^T = values^T.
  guard let factors = LUFactors(w.values.map(Double.init), order: d) else { return nil }
  let solution = factors.solve(values.values.map(Double.init), columns: m).map(Float.init)
  guard solution.allSatisfy({ $0.isFinite }) else { return nil }
  return try Tensor(solution, shape: values.shape)
}

/// The LU decomposition of a square matrix given by columns.
private struct LUFactors {
  private let order: Int32
  private let values: [Double]
  private let pivots: [Int32]

  /// Nil where the matrix is singular to working precision or not finite.
  init?(_ matrix: [Double], order d: Int) {
    var (size, info) = (Int32(d), Int32(0))
    var values = matrix
    var pivots = [Int32](repeating: 0, count: d)
    var norm = 0.0
    for column in 0..<d {
      norm = max(norm, matrix[column * d..<(column + 1) * d].reduce(0) { $0 + abs($1) })
    }
    guard norm.isFinite, norm > 0 else { return nil }
    dgetrf_(&size, &size, &values, &size, &pivots, &info)
    guard info == 0 else { return nil }
    var work = [Double](repeating: 0, count: 4 * d)
    var integers = [Int32](repeating: 0, count: d)
    var (kind, reciprocal) = (CChar(UInt8(ascii: "1")), 0.0)
    dgecon_(&kind, &size, values, &size, &norm, &reciprocal, &work, &integers, &info, 1)
    guard info == 0, reciprocal >= 0x1p-52 else { return nil }
    (order, self.values, self.pivots) = (size, values, pivots)
  }

  /// The solutions for right-hand sides that stand as columns.
  func solve(_ columns: [Double], columns count: Int) -> [Double] {
    var (size, sides, info) = (order, Int32(count), Int32(0))
    var kind = CChar(UInt8(ascii: "N"))
    var result = columns
    dgetrs_(&kind, &size, &sides, values, &size, pivots, &result, &size, &info, 1)
    return result
  }
}
