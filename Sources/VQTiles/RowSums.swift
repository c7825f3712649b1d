// Sums and extremes of rows.

/// Rows whose float32 partial sums are added before they go to Float64. A sum of n numbers is thus
/// within `33 * 2^-24 * sum(|x|)` of the exact one for every n.
let sumDepth = 32

@inline(__always)
func load16(_ x: UnsafePointer<Float>) -> SIMD16<Float> {
  UnsafeRawPointer(x).loadUnaligned(as: SIMD16<Float>.self)
}

@inline(__always)
func store16(_ lanes: SIMD16<Float>, _ x: UnsafeMutablePointer<Float>) {
  UnsafeMutableRawPointer(x).storeBytes(of: lanes, as: SIMD16<Float>.self)
}

/// The sum of the lanes in Float64, in four chains.
@inline(__always)
func laneTotal(_ lanes: SIMD16<Float>) -> Double {
  var (a, b, c, d) = (0.0, 0.0, 0.0, 0.0)
  for i in 0..<4 {
    a += Double(lanes[i])
    b += Double(lanes[i + 4])
    c += Double(lanes[i + 8])
    d += Double(lanes[i + 12])
  }
  return (a + b) + (c + d)
}

/// The sum of `count` consecutive numbers.
public func rowSum(_ x: UnsafePointer<Float>, _ count: Int) -> Double {
  var total = 0.0
  var i = 0
  while i + 16 <= count {
    let end = min(i + 64 * sumDepth, count)
    var (a, b) = (SIMD16<Float>.zero, SIMD16<Float>.zero)
    var (c, d) = (SIMD16<Float>.zero, SIMD16<Float>.zero)
    while i + 64 <= end {
      a += load16(x + i)
      b += load16(x + i + 16)
      c += load16(x + i + 32)
      d += load16(x + i + 48)
      i += 64
    }
    while i + 16 <= end {
      a += load16(x + i)
      i += 16
    }
    // A lane holds 64 numbers at most, far from overflow where their sum is.
    total += laneTotal(a + b) + laneTotal(c + d)
  }
  while i < count {
    total += Double(x[i])
    i += 1
  }
  return total
}

/// `total[c] += sum over r of x[r, c]`.
public func columnSums(
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
  for start in stride(from: 0, to: rows, by: sumDepth) {
    let end = min(start + sumDepth, rows)
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

/// The largest of `count` numbers times `sign`, at least one; NaN if any is.
public func rowMaximum(_ row: UnsafePointer<Float>, _ count: Int, sign: Float = 1) -> Float {
  var best = row[0] * sign
  var i = 0
  if count >= 16 {
    var wide = load16(row) * sign
    i = 16
    while i + 16 <= count {
      let next = load16(row + i) * sign
      wide.replace(with: next, where: (next .> wide) .| (next .!= next))
      i += 16
    }
    for lane in 0..<16 {
      best = wide[lane] > best || wide[lane] != wide[lane] ? wide[lane] : best
    }
  }
  while i < count {
    let next = row[i] * sign
    best = next > best || next != next ? next : best
    i += 1
  }
  return best
}
