/// Two-operand element kernels.
public enum BinaryKernel {
  case add, subtract, multiply, divide, maximum, minimum
}

/// Elements that one thread takes at a time: 64 KiB of float32.
public let elementGrain = 1 << 14

/// `out[i] = a[i] op b[i]`. Strides are 1, or 0 to read one element throughout.
public func binary(
  _ kernel: BinaryKernel, _ a: UnsafePointer<Float>, aStride: Int = 1,
  _ b: UnsafePointer<Float>, bStride: Int = 1, _ out: UnsafeMutablePointer<Float>, count: Int
) {
  switch kernel {
  case .add: apply(a, aStride, b, bStride, out, count) { $0 + $1 }
  case .subtract: apply(a, aStride, b, bStride, out, count) { $0 - $1 }
  case .multiply: apply(a, aStride, b, bStride, out, count) { $0 * $1 }
  case .divide: apply(a, aStride, b, bStride, out, count) { $0 / $1 }
  // NaN in either operand gives NaN, as NumPy does.
  case .maximum: apply(a, aStride, b, bStride, out, count) { $0 > $1 || $0 != $0 ? $0 : $1 }
  case .minimum: apply(a, aStride, b, bStride, out, count) { $0 < $1 || $0 != $0 ? $0 : $1 }
  }
}

@inline(__always)
private func apply(
  _ a: UnsafePointer<Float>, _ aStride: Int, _ b: UnsafePointer<Float>, _ bStride: Int,
  _ out: UnsafeMutablePointer<Float>, _ count: Int, _ body: (Float, Float) -> Float
) {
  parallelFor(count, grain: elementGrain) { range in
    if aStride == 1 && bStride == 1 {
      for i in range { out[i] = body(a[i], b[i]) }
    } else if aStride == 1 {
      let right = b[0]
      for i in range { out[i] = body(a[i], right) }
    } else {
      let left = a[0]
      for i in range { out[i] = body(left, b[i * bStride]) }
    }
  }
}

/// `out[r, i] = a[r, i] op b[i]` for `rows` rows of `columns`.
public func binaryRows(
  _ kernel: BinaryKernel, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>, rows: Int, columns: Int
) {
  parallelFor(rows, grain: max(1, elementGrain / max(columns, 1))) { range in
    for row in range {
      let x = a + row * columns
      let y = out + row * columns
      switch kernel {
      case .add: for i in 0..<columns { y[i] = x[i] + b[i] }
      case .subtract: for i in 0..<columns { y[i] = x[i] - b[i] }
      case .multiply: for i in 0..<columns { y[i] = x[i] * b[i] }
      case .divide: for i in 0..<columns { y[i] = x[i] / b[i] }
      case .maximum: for i in 0..<columns { y[i] = x[i] > b[i] || x[i] != x[i] ? x[i] : b[i] }
      case .minimum: for i in 0..<columns { y[i] = x[i] < b[i] || x[i] != x[i] ? x[i] : b[i] }
      }
    }
  }
}
