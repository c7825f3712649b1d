/// Axes of size 1 dropped and neighbors merged wherever every operand walks them as one.
/// The result has at least one axis.
func collapse(_ shape: [Int], _ strides: [[Int]]) -> (shape: [Int], strides: [[Int]]) {
  var sizes: [Int] = []
  var steps = [[Int]](repeating: [], count: strides.count)
  for axis in shape.indices where shape[axis] != 1 {
    let mergeable =
      !sizes.isEmpty
      && strides.indices.allSatisfy { steps[$0].last! == strides[$0][axis] * shape[axis] }
    if mergeable {
      sizes[sizes.count - 1] *= shape[axis]
      for operand in strides.indices { steps[operand][sizes.count - 1] = strides[operand][axis] }
    } else {
      sizes.append(shape[axis])
      for operand in strides.indices { steps[operand].append(strides[operand][axis]) }
    }
  }
  if sizes.isEmpty { return ([1], strides.map { _ in [1] }) }
  return (sizes, steps)
}

/// Copies `source` to `out`, both walked by `shape` with strides in elements (0 along repeated axes
/// of the source). No element of `out` may be addressed twice.
public func stridedCopy(
  _ source: UnsafePointer<Float>, strides sourceStrides: [Int],
  _ out: UnsafeMutablePointer<Float>, outStrides: [Int], shape: [Int]
) {
  let (shape, strides) = collapse(shape, [sourceStrides, outStrides])
  let (from, to) = (strides[0].last!, strides[1].last!)
  let columns = shape.last!
  if shape.count == 1 {
    parallelFor(columns, grain: elementGrain) { range in
      copyRow(
        source + range.lowerBound * from, from, out + range.lowerBound * to, to, range.count)
    }
    return
  }
  // A transposition goes by tiles of 16 x 16 through a buffer, so that each line is read once.
  if from != 1, to == 1, columns >= 8,
    let axis = strides[0].dropLast().firstIndex(of: 1), shape[axis] >= 8
  {
    var (outer, outerStrides) = (shape.dropLast(), strides.map { $0.dropLast() })
    outer.remove(at: axis)
    for operand in 0...1 { outerStrides[operand].remove(at: axis) }
    let (rows, step) = (shape[axis], strides[1][axis])
    let tiles = (rows + 15) / 16
    forEachRow(
      outer + [tiles, 1], outerStrides[0] + [16, 0], outerStrides[1] + [16 * step, 0],
      rowCost: 16 * columns
    ) { offset, outOffset, index in
      transposeTiles(
        source + offset, from, out + outOffset, step, rows: min(16, rows - index % tiles * 16),
        columns: columns)
    }
    return
  }
  forEachRow(shape, strides[0], strides[1], rowCost: columns) { offset, outOffset, _ in
    copyRow(source + offset, from, out + outOffset, to, columns)
  }
}

/// Adds `addend` to `out`, both walked by `shape` with strides in elements. No element of `out`
/// may be addressed twice.
public func stridedAccumulate(
  _ addend: UnsafePointer<Float>, strides addendStrides: [Int],
  _ out: UnsafeMutablePointer<Float>, outStrides: [Int], shape: [Int]
) {
  let (shape, strides) = collapse(shape, [addendStrides, outStrides])
  let (from, to) = (strides[0].last!, strides[1].last!)
  let columns = shape.last!
  if shape.count == 1, from == 1, to == 1 {
    accumulate(addend, into: out, count: columns)
    return
  }
  forEachRow(shape, strides[0], strides[1], rowCost: columns) { offset, outOffset, _ in
    let (x, y) = (addend + offset, out + outOffset)
    if from == 1 && to == 1 {
      for i in 0..<columns { y[i] += x[i] }
    } else {
      for i in 0..<columns { y[i * to] += x[i * from] }
    }
  }
}

/// `y[r * yStride + c] = x[r + c * xStride]` for at most 16 rows.
private func transposeTiles(
  _ x: UnsafePointer<Float>, _ xStride: Int, _ y: UnsafeMutablePointer<Float>, _ yStride: Int,
  rows: Int, columns: Int
) {
  withUnsafeTemporaryAllocation(of: Float.self, capacity: 256) { tile in
    let tile = tile.baseAddress!
    for start in stride(from: 0, to: columns, by: 16) {
      let width = min(16, columns - start)
      let x = x + start * xStride
      if rows == 16 && width == 16 {
        for corner in 0..<4 {
          let (row, column) = (corner % 2 * 8, corner / 2 * 8)
          transposeEight(x + row + column * xStride, xStride, tile + 16 * row + column, 16)
        }
      } else {
        for column in 0..<width {
          for row in 0..<rows { tile[16 * row + column] = x[row + column * xStride] }
        }
      }
      for row in 0..<rows {
        (y + row * yStride + start).update(from: tile + 16 * row, count: width)
      }
    }
  }
}

/// `y[r * yStride + c] = x[r + c * xStride]` for 8 rows and columns.
@inline(__always)
private func transposeEight(
  _ x: UnsafePointer<Float>, _ xStride: Int, _ y: UnsafeMutablePointer<Float>, _ yStride: Int
) {
  // Lines i and i + 4 with their elements in turn, three times over: a perfect shuffle of 64.
  func line(_ index: Int) -> SIMD8<Float> {
    UnsafeRawPointer(x + index * xStride).loadUnaligned(as: SIMD8<Float>.self)
  }
  let (a0, a1) = inTurn(line(0), line(4))
  let (a2, a3) = inTurn(line(1), line(5))
  let (a4, a5) = inTurn(line(2), line(6))
  let (a6, a7) = inTurn(line(3), line(7))
  let (b0, b1) = inTurn(a0, a4)
  let (b2, b3) = inTurn(a1, a5)
  let (b4, b5) = inTurn(a2, a6)
  let (b6, b7) = inTurn(a3, a7)
  let (c0, c1) = inTurn(b0, b4)
  let (c2, c3) = inTurn(b1, b5)
  let (c4, c5) = inTurn(b2, b6)
  let (c6, c7) = inTurn(b3, b7)
  func put(_ line: SIMD8<Float>, _ index: Int) {
    UnsafeMutableRawPointer(y + index * yStride).storeBytes(of: line, as: SIMD8<Float>.self)
  }
  put(c0, 0)
  put(c1, 1)
  put(c2, 2)
  put(c3, 3)
  put(c4, 4)
  put(c5, 5)
  put(c6, 6)
  put(c7, 7)
}

@inline(__always)
private func inTurn(
  _ a: SIMD8<Float>, _ b: SIMD8<Float>
) -> (SIMD8<Float>, SIMD8<Float>) {
  var both = SIMD16<Float>()
  both.evenHalf = a
  both.oddHalf = b
  return (both.lowHalf, both.highHalf)
}

@inline(__always)
private func copyRow(
  _ x: UnsafePointer<Float>, _ xStride: Int, _ y: UnsafeMutablePointer<Float>, _ yStride: Int,
  _ count: Int
) {
  if xStride == 1 && yStride == 1 {
    y.update(from: x, count: count)
  } else if xStride == 0 && yStride == 1 {
    y.update(repeating: x[0], count: count)
  } else {
    for i in 0..<count { y[i * yStride] = x[i * xStride] }
  }
}

/// Calls `body` with the offsets of two operands for every index of all axes of `shape` but the
/// last, and that index's row-major number, `rowCost` elements of work each.
@inline(__always)
func forEachRow(
  _ shape: [Int], _ aStrides: [Int], _ bStrides: [Int], rowCost: Int,
  _ body: (_ aOffset: Int, _ bOffset: Int, _ row: Int) -> Void
) {
  let outer = shape.count - 1
  let rows = shape.dropLast().reduce(1, *)
  if rows == 0 || rowCost == 0 { return }
  parallelFor(rows, grain: max(1, elementGrain / rowCost)) { range in
    var index = [Int](repeating: 0, count: outer)
    var remainder = range.lowerBound
    var (a, b) = (0, 0)
    for axis in stride(from: outer - 1, through: 0, by: -1) {
      index[axis] = remainder % shape[axis]
      remainder /= shape[axis]
      a += index[axis] * aStrides[axis]
      b += index[axis] * bStrides[axis]
    }
    for row in range {
      body(a, b, row)
      var axis = outer - 1
      while axis >= 0 {
        index[axis] += 1
        a += aStrides[axis]
        b += bStrides[axis]
        if index[axis] < shape[axis] { break }
        a -= index[axis] * aStrides[axis]
        b -= index[axis] * bStrides[axis]
        index[axis] = 0
        axis -= 1
      }
    }
  }
}
