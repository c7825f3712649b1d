import VQQuantizers
import VQTensor

/// `|ma - mb|^2 + tr(Sa + Sb - 2 (Sa Sb)^(1/2))` of features [n, d] and [m, d], m and S means and
/// unbiased covariances: the squared Wasserstein-2 distance of the Gaussians.
///
/// - Throws: `shape` for fewer than two rows, no column, or different d; `nonFinite`.
public func frechetDistance(_ a: Float64Matrix, _ b: Float64Matrix) throws -> Double {
  let operation = "frechet_distance"
  guard a.rows > 1, b.rows > 1, a.columns > 0, a.columns == b.columns else {
    throw VQError.shape(
      operation, [[a.rows, a.columns], [b.rows, b.columns]],
      "at least 2 rows of 1 feature are required, as many features in both")
  }
  try a.requireFinite(operation, "features_a")
  try b.requireFinite(operation, "features_b")
  let first = try CovarianceRoot(operation, a.elements, rows: a.rows, columns: a.columns)
  let second = try CovarianceRoot(operation, b.elements, rows: b.rows, columns: b.columns)
  let shift = zip(first.mean, second.mean).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
  let cross = try first.traceOfRoot(with: second, operation)
  return max(0, shift + first.trace + second.trace - 2 * cross)
}
