/// Rows that one partial sum covers: few enough for float32 sums, the partials are added in float64.
let sumRows = 256

/// Adds over the rows of a matrix: `accumulate(first row, rows, partial)` adds its rows to `width`
/// floats, chunk by chunk in parallel; the chunks are summed in order in float64.
@inline(__always)
func reduceRows(
  rows: Int, width: Int, _ total: UnsafeMutablePointer<Double>,
  _ accumulate: (_ rows: Range<Int>, _ partial: UnsafeMutablePointer<Float>) -> Void
) {
  let chunks = (rows + sumRows - 1) / sumRows
  let partials = UnsafeMutablePointer<Float>.allocate(capacity: max(1, chunks * width))
  defer { partials.deallocate() }
  partials.update(repeating: 0, count: chunks * width)
  let chunksAtATime = max(1, elementGrain / max(1, sumRows * width))
  parallelFor(chunks, grain: chunksAtATime) { range in
    for chunk in range {
      accumulate(chunk * sumRows..<min((chunk + 1) * sumRows, rows), partials + chunk * width)
    }
  }
  total.update(repeating: 0, count: width)
  for chunk in 0..<chunks {
    let partial = partials + chunk * width
    for i in 0..<width { total[i] += Double(partial[i]) }
  }
}

/// `out[c] = sum over rows of x[row, c]`.
public func columnSums(
  _ x: UnsafePointer<Float>, rows: Int, columns: Int, _ out: UnsafeMutablePointer<Float>
) {
  let total = UnsafeMutablePointer<Double>.allocate(capacity: max(columns, 1))
  defer { total.deallocate() }
  reduceRows(rows: rows, width: columns, total) { range, partial in
    var row = range.lowerBound
    while row + 4 <= range.upperBound {
      let (a, b) = (x + row * columns, x + (row + 1) * columns)
      let (c, d) = (x + (row + 2) * columns, x + (row + 3) * columns)
      for i in 0..<columns { partial[i] += (a[i] + b[i]) + (c[i] + d[i]) }
      row += 4
    }
    for row in row..<range.upperBound {
      let a = x + row * columns
      for i in 0..<columns { partial[i] += a[i] }
    }
  }
  for i in 0..<columns { out[i] = Float(total[i]) }
}
