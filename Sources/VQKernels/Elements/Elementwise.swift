/// Two-operand element kernels.
public enum BinaryKernel {
  case add, subtract, multiply, divide, maximum, minimum
  /// What the first operand gets of the gradient of `maximum` and `minimum`: 1, 0, or 1/2 on a tie.
  case maximumShare, minimumShare
}

/// Elements that one thread takes at a time: 64 KiB of float32.
public let elementGrain = 1 << 14

/// `out[i] = a[i] op b[i]` over `shape`, strides in elements and 0 along repeated axes; `out` is
/// contiguous.
public func binary(
  _ kernel: BinaryKernel, _ a: UnsafePointer<Float>, strides aStrides: [Int],
  _ b: UnsafePointer<Float>, strides bStrides: [Int], _ out: UnsafeMutablePointer<Float>,
  shape: [Int]
) {
  let (shape, strides) = collapse(shape, [aStrides, bStrides])
  let (aStep, bStep) = (strides[0].last!, strides[1].last!)
  let columns = shape.last!
  if shape.count == 1 {
    parallelFor(columns, grain: elementGrain) { range in
      let start = range.lowerBound
      binaryRow(
        kernel, a + start * aStep, aStep, b + start * bStep, bStep, out + start, range.count)
    }
    return
  }
  forEachRow(shape, strides[0], strides[1], rowCost: columns) { aOffset, bOffset, row in
    binaryRow(kernel, a + aOffset, aStep, b + bOffset, bStep, out + row * columns, columns)
  }
}

private func binaryRow(
  _ kernel: BinaryKernel, _ a: UnsafePointer<Float>, _ aStep: Int, _ b: UnsafePointer<Float>,
  _ bStep: Int, _ out: UnsafeMutablePointer<Float>, _ count: Int
) {
  switch kernel {
  case .add: combine(a, aStep, b, bStep, out, count) { $0 + $1 }
  case .subtract: combine(a, aStep, b, bStep, out, count) { $0 - $1 }
  case .multiply: combine(a, aStep, b, bStep, out, count) { $0 * $1 }
  case .divide: combine(a, aStep, b, bStep, out, count) { $0 / $1 }
  // NaN in either operand gives NaN, as NumPy does.
  case .maximum: combine(a, aStep, b, bStep, out, count) { $0 > $1 || $0 != $0 ? $0 : $1 }
  case .minimum: combine(a, aStep, b, bStep, out, count) { $0 < $1 || $0 != $0 ? $0 : $1 }
  case .maximumShare: combine(a, aStep, b, bStep, out, count) { $0 > $1 ? 1 : ($0 == $1 ? 0.5 : 0) }
  case .minimumShare: combine(a, aStep, b, bStep, out, count) { $0 < $1 ? 1 : ($0 == $1 ? 0.5 : 0) }
  }
}

@inline(__always)
private func combine(
  _ a: UnsafePointer<Float>, _ aStep: Int, _ b: UnsafePointer<Float>, _ bStep: Int,
  _ out: UnsafeMutablePointer<Float>, _ count: Int, _ body: (Float, Float) -> Float
) {
  if aStep == 1 && bStep == 1 {
    for i in 0..<count { out[i] = body(a[i], b[i]) }
  } else if aStep == 1 && bStep == 0 {
    let right = b[0]
    for i in 0..<count { out[i] = body(a[i], right) }
  } else if aStep == 0 && bStep == 1 {
    let left = a[0]
    for i in 0..<count { out[i] = body(left, b[i]) }
  } else {
    for i in 0..<count { out[i] = body(a[i * aStep], b[i * bStep]) }
  }
}

/// `target[i] += addend[i]`.
public func accumulate(
  _ addend: UnsafePointer<Float>, into target: UnsafeMutablePointer<Float>, count: Int
) {
  parallelFor(count, grain: elementGrain) { range in
    for i in range { target[i] += addend[i] }
  }
}
