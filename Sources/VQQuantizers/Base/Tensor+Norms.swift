import VQKernels
import VQTensor

extension Tensor {
  /// Rows along the last axis no longer than `maximum`: `x min(1, maximum / |x|)`.
  ///
  /// The gradient of a row that is shortened is `maximum / |x| (g - (g . u) u)`, u = x / |x|; that
  /// of a row within the maximum, the border included, is g.
  func clampedRows(maximum: Float = 10) throws -> Tensor {
    let operation = "clamped_rows"
    try requireFloat(operation)
    guard let d = shape.last, d > 0 else {
      throw VQError.shape(operation, [shape], "a last axis of at least one element is required")
    }
    guard maximum > 0, maximum.isFinite else {
      throw VQError.value(operation, "maximum", "\(maximum)", "must be finite and above 0")
    }
    let (n, limit) = (count / d, Double(maximum))
    let norms = RowNorms(count: n)
    let result = try Tensor(operation, shape: shape) { out in
      read {
        VQKernels.clampedRows($0, count: n, width: d, maximum: limit, out, norms: norms.values)
      }
    }
    let saved = Saved(result)
    return result.recorded(operation, inputs: [self]) { gradient, _ in
      let y = try saved.tensor(operation)
      return [
        try Tensor(operation, shape: y.shape) { out in
          gradient.read { gradient in
            y.read {
              clampedRowsPullback(
                gradient, $0, norms: norms.values, count: n, width: d, maximum: limit, out)
            }
          }
        }
      ]
    }
  }

  /// Each column of each segment of rows of x [n, d] to mean zero and unit biased variance:
  /// `y = (x - mean) / sqrt(variance + epsilon)`; batch norm without a learned affine map, and with
  /// one segment a sample, instance norm.
  ///
  /// - Parameters:
  ///   - segments: where each segment begins, ascending from 0, then n; nil for one of all rows.
  ///     Segments may be empty.
  ///   - epsilon: above 0.
  /// - Returns: the values [n, d], and the detached mean and biased variance [segments, d], 0 for
  ///   empty segments.
  func standardizedColumns(
    segments: [Int]? = nil, epsilon: Float = 1e-5
  ) throws -> (values: Tensor, mean: Tensor, variance: Tensor) {
    let operation = "standardized_columns"
    try requireFloat(operation)
    guard rank == 2, shape[1] > 0 else {
      throw VQError.shape(operation, [shape], "x [n, d] with d at least 1 is required")
    }
    guard shape[0] > 0 else {
      throw VQError.empty(operation, shape, "at least one row is required")
    }
    try requireEpsilon(operation, epsilon)
    let offsets = segments ?? [0, shape[0]]
    try requireSegments(operation, offsets, rows: shape[0])

    let parts = RowSegments(offsets: offsets, width: shape[1])
    let (mean, variance) = read { segmentMoments($0, parts) }
    let factor = variance.map { 1 / ($0 + Double(epsilon)).squareRoot() }
    let result = try Tensor(operation, shape: shape) { out in
      read { standardizeColumns($0, parts, mean: mean, factor: factor, out) }
    }
    let saved = Saved(result)
    let values = result.recorded(operation, inputs: [self]) { gradient, _ in
      let y = try saved.tensor(operation)
      return [
        try Tensor(operation, shape: y.shape) { out in
          gradient.read { gradient in
            y.read { standardizeColumnsPullback(gradient, $0, parts, factor: factor, out) }
          }
        }
      ]
    }
    let moments = [parts.count, shape[1]]
    return (
      values, try Tensor(mean.map(Float.init), shape: moments),
      try Tensor(variance.map(Float.init), shape: moments)
    )
  }

  /// Group norm of each row without a learned affine map: the d channels of the last axis in
  /// `groups` contiguous groups, each to mean zero and unit biased variance,
  /// `y = (x - mean) / sqrt(variance + epsilon)`.
  func standardizedGroups(_ groups: Int, epsilon: Float = 1e-5) throws -> Tensor {
    let operation = "standardized_groups"
    try requireFloat(operation)
    guard let d = shape.last, d > 0 else {
      throw VQError.shape(operation, [shape], "a last axis of at least one element is required")
    }
    guard groups >= 1, d % groups == 0 else {
      throw VQError.value(operation, "groups", "\(groups)", "must divide the \(d) channels")
    }
    try requireEpsilon(operation, epsilon)
    let width = d / groups
    let n = count / width
    let factors = RowNorms(count: n)
    let result = try Tensor(operation, shape: shape) { out in
      read {
        standardizeRows(
          $0, count: n, width: width, epsilon: Double(epsilon), out, factors: factors.values)
      }
    }
    let saved = Saved(result)
    return result.recorded(operation, inputs: [self]) { gradient, _ in
      let y = try saved.tensor(operation)
      return [
        try Tensor(operation, shape: y.shape) { out in
          gradient.read { gradient in
            y.read {
              standardizeRowsPullback(
                gradient, $0, factors: factors.values, count: n, width: width, out)
            }
          }
        }
      ]
    }
  }
}

private func requireEpsilon(_ operation: String, _ epsilon: Float) throws {
  guard epsilon > 0, epsilon.isFinite else {
    throw VQError.value(operation, "epsilon", "\(epsilon)", "must be finite and above 0")
  }
}

private func requireSegments(_ operation: String, _ offsets: [Int], rows: Int) throws {
  guard offsets.count >= 2, offsets.first == 0, offsets.last == rows else {
    throw VQError.value(
      operation, "segments", "\(offsets.first ?? 0)...\(offsets.last ?? 0)",
      "must begin with 0 and end with the number of rows, \(rows)")
  }
  if let index = offsets.indices.dropFirst().first(where: { offsets[$0] < offsets[$0 - 1] }) {
    throw VQError.value(
      operation, "segments[\(index)]", "\(offsets[index])",
      "must not be below the offset before it, \(offsets[index - 1])")
  }
}
