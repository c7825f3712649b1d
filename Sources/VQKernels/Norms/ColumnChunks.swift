// Sums over rows of every column, by chunks of rows.

/// Rows whose float32 sums are added before they go to Float64, as in `sumAxis`.
private let depth = 32

/// Rows that one thread takes at a time; fixed, so that the order of summation is.
func columnChunkRows(_ columns: Int) -> Int { max(depth, elementGrain / max(columns, 1)) }

/// `totals` [size] = what `add` adds of some rows to float32 sums [size].
func columnTotals(
  rows: Int, size: Int, _ totals: UnsafeMutablePointer<Double>,
  _ add: (_ start: Int, _ count: Int, _ sums: UnsafeMutablePointer<Float>) -> Void
) {
  withUnsafeTemporaryAllocation(of: Float.self, capacity: size + 1) { scratch in
    let sums = scratch.baseAddress!
    totals.update(repeating: 0, count: size)
    for start in stride(from: 0, to: rows, by: depth) {
      sums.update(repeating: 0, count: size)
      add(start, min(depth, rows - start), sums)
      for i in 0..<size { totals[i] += Double(sums[i]) }
    }
  }
}

/// Sum and squared deviations from the mean of every column: `out` [2, columns].
func columnChunkMoments(
  _ x: UnsafePointer<Float>, rows: Int, columns: Int, _ out: UnsafeMutablePointer<Double>
) {
  let kernels = NormalizationKernels.usable
  withUnsafeTemporaryAllocation(of: Float.self, capacity: columns + 1) { scratch in
    let center = scratch.baseAddress!
    columnTotals(rows: rows, size: columns, out) {
      kernels.addRows(x + $0 * columns, $1, columns, $2)
    }
    for i in 0..<columns { center[i] = Float(out[i] / Double(rows)) }
    columnTotals(rows: rows, size: columns, out + columns) {
      kernels.addSquares(x + $0 * columns, $1, columns, center, $2)
    }
  }
}
