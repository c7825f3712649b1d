import VQKernels
import VQTensor

extension Tensor {
  /// Rows of unit length along the last axis, `x / |x|`; a zero row stays zero with gradient zero.
  func unitRows() throws -> Tensor {
    let operation = "unit_rows"
    try requireFloat(operation)
    guard let d = shape.last, d > 0 else {
      throw VQError.shape(operation, [shape], "a last axis of at least one element is required")
    }
    let n = count / d
    let norms = RowNorms(count: n)
    let result = try Tensor(operation, shape: shape) { out in
      read { VQKernels.unitRows($0, count: n, width: d, out, norms: norms.values) }
    }
    let saved = Saved(result)
    return result.recorded(operation, inputs: [self]) { [shape] gradient, _ in
      let unit = try saved.tensor(operation)
      return [
        try Tensor(operation, shape: shape) { out in
          gradient.read { gradient in
            unit.read {
              unitRowsPullback(gradient, $0, norms: norms.values, count: n, width: d, out)
            }
          }
        }
      ]
    }
  }

  /// The columns [m] of a matrix [m, n].
  func columns() throws -> [Tensor] {
    try (0..<shape[1]).map { try slice(axis: 1, from: $0, to: $0 + 1).reshape([shape[0]]) }
  }

  /// The same values in a buffer of their own: writing this tensor leaves the copy as it was.
  func recordedCopy() throws -> Tensor {
    try Tensor("copy", shape: shape) { out in
      read { out.update(from: $0, count: count) }
    }.recorded("copy", inputs: [self]) { gradient, _ in [gradient] }
  }
}
