import VQTensor

/// `|g - g'|^2` of each pair of gradients: those without quantization and those with it (Huh et al.
/// 2023, eq. 14; A.3 sums them over the layers).
///
/// - Throws: `value` for lists of different length, `shape` for a pair of different shapes.
public func gradientGap(exact: [Tensor], quantized: [Tensor]) throws -> [Double] {
  let operation = "gradient_gap"
  guard exact.count == quantized.count else {
    throw VQError.value(
      operation, "quantized", "\(quantized.count) gradients", "\(exact.count) are required")
  }
  return try zip(exact, quantized).map { try squaredDifference(operation, $0, $1) }
}
