import VQKernels
import VQQuantizers
import VQTensor

/// The mean of `(z - z_q)^2` over all elements of the vectors that `mask` keeps: what the
/// commitment loss is before its weights.
///
/// `z` and `z_q` are float32 [..., d], `mask` int32 [...], 0 where a vector is left out.
///
/// - Throws: `empty` when no element is kept.
public func quantizationError(_ z: Tensor, _ zq: Tensor, mask: Tensor? = nil) throws -> Double {
  let operation = "quantization_error"
  guard let mask else { return try meanSquaredDifference(operation, z, zq) }
  try requireEqualFloats(operation, z, zq)
  guard z.rank > 0 else {
    throw VQError.shape(operation, [z.shape], "vectors [..., d] are required")
  }
  let kept = try VectorSelection(lead: Array(z.shape.dropLast()), mask: mask, operation)
  guard kept.count > 0, z.count > 0 else {
    throw VQError.empty(operation, z.shape, "the mask must keep at least one")
  }
  return try withoutGradients {
    try meanSquaredDifference(operation, kept.rows(of: z), kept.rows(of: zq))
  }
}

/// The mean of `(a - b)^2` over all elements.
func meanSquaredDifference(_ operation: String, _ a: Tensor, _ b: Tensor) throws -> Double {
  try requireEqualFloats(operation, a, b)
  guard a.count > 0 else {
    throw VQError.empty(operation, a.shape, "the mean needs at least one")
  }
  return try squaredDifference(operation, a, b) / Double(a.count)
}

/// `sum((a - b)^2)`.
func squaredDifference(_ operation: String, _ a: Tensor, _ b: Tensor) throws -> Double {
  try requireEqualFloats(operation, a, b)
  return a.read { a1 in
    b.read { differenceSum(squared: true, a1, $0, count: a.count) }
  }
}

/// Throws unless both are float32 and of one shape.
func requireEqualFloats(_ operation: String, _ a: Tensor, _ b: Tensor) throws {
  guard a.dtype == .float32, b.dtype == .float32 else {
    throw VQError.type(operation, [a.dtype, b.dtype], "float32 is required")
  }
  guard a.shape == b.shape else {
    throw VQError.shape(operation, [a.shape, b.shape], "they must be equal")
  }
}
