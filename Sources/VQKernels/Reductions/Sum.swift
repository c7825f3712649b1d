/// Rows whose float32 partial sums are added before they go to Float64. A sum of n numbers is thus
/// within `32 * 2^-24 * sum(|x|)` of the exact one for every n.
private let depth = 32

/// Elements of one partial sum; fixed, so that the order of summation is.
private let chunkElements = 1 << 16

@inline(__always)
func load16(_ x: UnsafePointer<Float>) -> SIMD16<Float> {
  UnsafeRawPointer(x).loadUnaligned(as: SIMD16<Float>.self)
}

/// The sum of `count` consecutive numbers.
@inline(__always)
func rowSum(_ x: UnsafePointer<Float>, _ count: Int) -> Double {
  var total = 0.0
  var i = 0
  while i + 16 <= count {
    let end = min(i + 32 * depth, count)
    var (even, odd) = (SIMD16<Float>.zero, SIMD16<Float>.zero)
    while i + 32 <= end {
      even += load16(x + i)
      odd += load16(x + i + 16)
      i += 32
    }
    if i + 16 <= end {
      even += load16(x + i)
      i += 16
    }
    even += odd
    for lane in 0..<16 { total += Double(even[lane]) }
  }
  while i < count {
    total += Double(x[i])
    i += 1
  }
  return total
}

/// `total[c] += sum over r of x[r, c]`.
private func columnSums(
  _ x: UnsafePointer<Float>, rows: Int, columns: Int, _ total: UnsafeMutablePointer<Double>
) {
  // Narrow rows are read sixteen at a time as one wide row.
  if columns < 16 && rows >= 16 {
    let wide = rows / 16
    withUnsafeTemporaryAllocation(of: Double.self, capacity: 16 * columns) { part in
      part.initialize(repeating: 0)
      columnSums(x, rows: wide, columns: 16 * columns, part.baseAddress!)
      for row in 0..<16 {
        for column in 0..<columns { total[column] += part[row * columns + column] }
      }
    }
    let rest = wide * 16
    columnSums(x + rest * columns, rows: rows - rest, columns: columns, total)
    return
  }
  for start in stride(from: 0, to: rows, by: depth) {
    let end = min(start + depth, rows)
    var column = 0
    while column + 16 <= columns {
      var sum = SIMD16<Float>.zero
      for row in start..<end { sum += load16(x + row * columns + column) }
      for lane in 0..<16 { total[column + lane] += Double(sum[lane]) }
      column += 16
    }
    if column == columns { continue }
    for row in start..<end {
      for c in column..<columns { total[c] += Double(x[row * columns + c]) }
    }
  }
}

/// `out[o, i] = scale * sum over l of x[o, l, i]`.
public func sumAxis(
  _ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, outer: Int, length: Int,
  inner: Int, scale: Double
) {
  let slab = max(inner, 1)
  let rows = max(depth, chunkElements / slab)
  let chunks = max(1, (length + rows - 1) / rows)
  let cost = max(1, min(rows, length) * inner)
  let width = outer * inner
  if width == 0 { return }
  if inner == 1 && chunks == 1 {
    parallelFor(outer, grain: max(1, elementGrain / cost)) { range in
      for o in range { out[o] = Float(rowSum(x + o * length, length) * scale) }
    }
    return
  }
  withUnsafeTemporaryAllocation(of: Double.self, capacity: width * chunks) { partial in
    // partial is [outer, chunks, inner].
    parallelFor(outer * chunks, grain: max(1, elementGrain / cost)) { range in
      for unit in range {
        let start = unit % chunks * rows
        let count = min(rows, length - start)
        let source = x + (unit / chunks * length + start) * inner
        let target = partial.baseAddress! + unit * inner
        if inner == 1 {
          target[0] = rowSum(source, count)
        } else {
          target.update(repeating: 0, count: inner)
          columnSums(source, rows: count, columns: inner, target)
        }
      }
    }
    parallelFor(width, grain: max(1, elementGrain / chunks)) { range in
      for index in range {
        let first = index / inner * chunks * inner + index % inner
        var total = 0.0
        for chunk in 0..<chunks { total += partial[first + chunk * inner] }
        out[index] = Float(total * scale)
      }
    }
  }
}

/// The sum of `body` over fixed chunks of `0..<count`, in order.
@inline(__always)
func chunkedSum(_ count: Int, grain: Int, _ body: (Range<Int>) -> Double) -> Double {
  let chunks = (count + grain - 1) / grain
  return withUnsafeTemporaryAllocation(of: Double.self, capacity: max(chunks, 1)) { partial in
    parallelFor(count, grain: grain) { range in
      partial[range.lowerBound / grain] = body(range)
    }
    var total = 0.0
    for chunk in 0..<chunks { total += partial[chunk] }
    return total
  }
}

/// `out[i] = sum over p of parts[p, i]`, in order.
public func sumParts(
  _ parts: UnsafePointer<Float>, count: Int, size: Int, _ out: UnsafeMutablePointer<Float>
) {
  parallelFor(size, grain: max(1, elementGrain / max(count, 1))) { range in
    var i = range.lowerBound
    while i + 16 <= range.upperBound {
      var sum = SIMD16<Float>.zero
      for part in 0..<count { sum += load16(parts + part * size + i) }
      UnsafeMutableRawPointer(out + i).storeBytes(of: sum, as: SIMD16<Float>.self)
      i += 16
    }
    while i < range.upperBound {
      var sum: Float = 0
      for part in 0..<count { sum += parts[part * size + i] }
      out[i] = sum
      i += 1
    }
  }
}
