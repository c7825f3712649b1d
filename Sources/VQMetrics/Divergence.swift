import VQKernels
import VQQuantizers
import VQTensor

/// `D(P, C) = 1/|P| sum over z in P of min over c in C of d(z, c)`, `d(z, c) = 1/2 |z - c|^2`: the
/// divergence of two sets of points (Huh et al. 2023, eq. 13; d is section 2's).
///
/// `p` and `c` are finite float32 [..., d]. The measure is not symmetric:
/// - D(P, C), embeddings to codebook: what the commitment loss minimises.
/// - D(C, P), codebook to embeddings: grows with codes that lie far from the data, which D(P, C)
///   and its gradient do not see.
/// - D(P, Q) with Q the codes in use: equal to D(P, C) for the same embeddings (Figure 8).
/// - D(C, Q): how far dead codes lie from those in use (Figure 9); 0 when all are.
public func divergence(_ p: Tensor, _ c: Tensor) throws -> Double {
  let operation = "divergence"
  guard p.dtype == .float32, c.dtype == .float32 else {
    throw VQError.type(operation, [p.dtype, c.dtype], "float32 is required")
  }
  guard p.rank >= 2, c.rank >= 2, p.shape.last == c.shape.last else {
    throw VQError.shape(
      operation, [p.shape, c.shape], "two sets of points [..., d] with equal d are required")
  }
  let (points, codes) = (try pointRows(p, operation), try pointRows(c, operation))
  guard codes.shape[0] <= Int(Int32.max), codes.shape[1] <= Int(Int32.max) else {
    throw VQError.overflow(operation, c.shape)
  }
  let n = points.shape[0]
  let nearest = try assign(points, codes, operation: operation, names: ("p", "c"))
  let distances = try squaredDistances(points, to: codes, codes: nearest, operation: operation)
  return distances.read { sumInDouble($0, count: n) } / Double(2 * n)
}

/// `1/2 Var(P)` with `Var(P) = 1/|P| sum |z - mean|^2`: the least D(P, C) of a codebook of one
/// code, the mean, and so an upper bound of what the best codebook of any size reaches (A.10, eq.
/// 33).
///
/// `p` is finite float32 [..., d].
public func divergenceBound(_ p: Tensor) throws -> Double {
  let operation = "divergence_bound"
  guard p.dtype == .float32 else {
    throw VQError.type(operation, [p.dtype], "float32 is required")
  }
  guard p.rank >= 2 else {
    throw VQError.shape(operation, [p.shape], "a set of points [..., d] is required")
  }
  let points = try pointRows(p, operation)
  try points.requireFinite(operation, "p")
  let variance = try withoutGradients { try points.variance(axes: [0], unbiased: false) }
  return variance.read { sumInDouble($0, count: variance.count) } / 2
}

/// `points` [..., d] as rows [n, d], at least one of at least one element.
private func pointRows(_ points: Tensor, _ operation: String) throws -> Tensor {
  guard points.count > 0 else {
    throw VQError.empty(
      operation, points.shape, "at least one point of at least one element is required")
  }
  let d = points.shape[points.rank - 1]
  return try points.detached().reshape([points.count / d, d])
}
