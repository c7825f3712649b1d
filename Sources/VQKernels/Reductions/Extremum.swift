/// The largest (or smallest) of `x[o, l, i]` over l, and the lowest l that attains it. NaN wins
/// over every number. `length` is at least 1; `indices` may be nil.
public func extremumAxis(
  largest: Bool, _ x: UnsafePointer<Float>, _ values: UnsafeMutablePointer<Float>,
  _ indices: UnsafeMutablePointer<Int32>?, outer: Int, length: Int, inner: Int
) {
  if outer == 0 || inner == 0 { return }
  let underflow = GradualUnderflow()
  defer { underflow.end() }
  // The smallest is the negated largest of the negated numbers.
  let sign: Float = largest ? 1 : -1
  if inner == 1 {
    parallelFor(outer, grain: max(1, elementGrain / length)) { range in
      for o in range {
        let row = x + o * length
        let best = rowMaximum(row, length, sign: sign) * sign
        values[o] = best
        if let indices { indices[o] = Int32(truncatingIfNeeded: firstIndex(of: best, row)) }
      }
    }
    return
  }
  let width = 1024
  let blocks = (inner + width - 1) / width
  parallelFor(outer * blocks, grain: max(1, elementGrain / (length * min(inner, width)))) { range in
    for unit in range {
      let (o, start) = (unit / blocks, unit % blocks * width)
      columnMaximum(
        x + o * length * inner + start, values + o * inner + start,
        indices.map { $0 + o * inner + start }, rows: length, rowStride: inner,
        columns: min(width, inner - start), sign: sign)
    }
  }
}

private func columnMaximum(
  _ x: UnsafePointer<Float>, _ best: UnsafeMutablePointer<Float>,
  _ index: UnsafeMutablePointer<Int32>?, rows: Int, rowStride: Int, columns: Int, sign: Float
) {
  best.update(from: x, count: columns)
  index?.update(repeating: 0, count: columns)
  for l in 1..<max(rows, 1) {
    let row = x + l * rowStride
    if let index {
      let position = Int32(truncatingIfNeeded: l)
      for i in 0..<columns {
        let wins = (row[i] * sign > best[i] * sign) || (row[i] != row[i] && best[i] == best[i])
        best[i] = wins ? row[i] : best[i]
        index[i] = wins ? position : index[i]
      }
    } else {
      for i in 0..<columns {
        best[i] = row[i] * sign > best[i] * sign || row[i] != row[i] ? row[i] : best[i]
      }
    }
  }
}

/// The first position of `value`, or of a NaN if it is one; it is there.
@inline(__always)
private func firstIndex(of value: Float, _ row: UnsafePointer<Float>) -> Int {
  var index = 0
  while row[index] != value && row[index] == row[index] { index += 1 }
  return index
}

/// `out[o, indices[o, i], i] = g[o, i]`, 0 elsewhere.
public func scatterExtrema(
  _ g: UnsafePointer<Float>, _ indices: UnsafePointer<Int32>, _ out: UnsafeMutablePointer<Float>,
  outer: Int, length: Int, inner: Int
) {
  parallelFor(outer, grain: max(1, elementGrain / max(length * inner, 1))) { range in
    for o in range {
      let target = out + o * length * inner
      target.update(repeating: 0, count: length * inner)
      for i in 0..<inner { target[Int(indices[o * inner + i]) * inner + i] = g[o * inner + i] }
    }
  }
}
