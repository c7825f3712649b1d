/// Copies the elements that `shape` and `strides` select in `source` to contiguous `out`.
/// Strides are in elements, 0 along repeated axes.
public func stridedCopy(
  _ source: UnsafePointer<Float>, shape: [Int], strides: [Int], _ out: UnsafeMutablePointer<Float>
) {
  forEachRow(shape, strides) { offset, row, columns, stride in
    let x = source + offset
    let y = out + row * columns
    if stride == 1 {
      y.update(from: x, count: columns)
    } else {
      for i in 0..<columns { y[i] = x[i * stride] }
    }
  }
}

/// Adds contiguous `source` to the elements that `shape` and `strides` select in `out`, in row-major
/// order on one thread, so that repeated positions sum in a fixed order.
public func stridedAdd(
  _ source: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, shape: [Int], strides: [Int]
) {
  forEachRow(shape, strides, parallel: false) { offset, row, columns, stride in
    let x = source + row * columns
    let y = out + offset
    for i in 0..<columns { y[i * stride] += x[i] }
  }
}

/// Calls `body(offset, row, columns, stride)` for every innermost row.
private func forEachRow(
  _ shape: [Int], _ strides: [Int], parallel: Bool = true,
  _ body: (_ offset: Int, _ row: Int, _ columns: Int, _ stride: Int) -> Void
) {
  let columns = shape.last ?? 1
  let stride = strides.last ?? 1
  let outer = shape.dropLast()
  let rows = outer.reduce(1, *)
  if columns == 0 || rows == 0 { return }
  func visit(_ range: Range<Int>) {
    var index = [Int](repeating: 0, count: outer.count)
    var remainder = range.lowerBound
    var offset = 0
    for axis in Swift.stride(from: outer.count - 1, through: 0, by: -1) {
      index[axis] = remainder % shape[axis]
      remainder /= shape[axis]
      offset += index[axis] * strides[axis]
    }
    for row in range {
      body(offset, row, columns, stride)
      var axis = outer.count - 1
      while axis >= 0 {
        index[axis] += 1
        offset += strides[axis]
        if index[axis] < shape[axis] { break }
        offset -= index[axis] * strides[axis]
        index[axis] = 0
        axis -= 1
      }
    }
  }
  if parallel {
    parallelFor(rows, grain: max(1, elementGrain / columns), visit)
  } else {
    visit(0..<rows)
  }
}
