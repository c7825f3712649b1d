import Glibc

/// Softmax, or its logarithm, of every row of `x` [rows, columns].
public func softmaxRows(
  logarithmic: Bool, _ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, rows: Int,
  columns: Int
) {
  if columns == 0 { return }
  parallelFor(rows, grain: max(1, elementGrain / columns)) { range in
    for row in range {
      let source = x + row * columns
      let target = out + row * columns
      let largest = rowMaximum(source, columns)
      if logarithmic {
        let shift = Float(Glibc.log(exponentialSum(source, columns, largest)))
        for i in 0..<columns { target[i] = (source[i] - largest) - shift }
      } else {
        exponentialShares(source, largest, scale: 1, target, columns)
      }
    }
  }
}

/// `e^(scale (x[i] - largest))` divided by their sum.
func exponentialShares(
  _ x: UnsafePointer<Float>, _ largest: Float, scale: Float, _ out: UnsafeMutablePointer<Float>,
  _ count: Int
) {
  for i in 0..<count { out[i] = exponential((x[i] - largest) * scale) }
  let share = Float(1 / rowSum(out, count))
  for i in 0..<count { out[i] *= share }
}

/// The gradient of `softmaxRows` from its result `y`:
/// `y (g - sum(g y))`, and `g - e^y sum(g)` for the logarithm.
public func softmaxRowsGradient(
  logarithmic: Bool, _ y: UnsafePointer<Float>, _ g: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>, rows: Int, columns: Int
) {
  if columns == 0 { return }
  parallelFor(rows, grain: max(1, elementGrain / columns)) { range in
    for row in range {
      let result = y + row * columns
      let gradient = g + row * columns
      let target = out + row * columns
      if logarithmic {
        let total = Float(rowSum(gradient, columns))
        for i in 0..<columns { target[i] = gradient[i] - exponential(result[i]) * total }
      } else {
        for i in 0..<columns { target[i] = result[i] * gradient[i] }
        let total = Float(rowSum(target, columns))
        for i in 0..<columns { target[i] = result[i] * (gradient[i] - total) }
      }
    }
  }
}

/// `sum(e^(x[i] - shift))`.
func exponentialSum(_ x: UnsafePointer<Float>, _ count: Int, _ shift: Float) -> Double {
  withUnsafeTemporaryAllocation(of: Float.self, capacity: 512) { tile in
    let tile = tile.baseAddress!
    var total = 0.0
    for start in stride(from: 0, to: count, by: 512) {
      let length = min(512, count - start)
      for i in 0..<length { tile[i] = exponential(x[start + i] - shift) }
      total += rowSum(tile, length)
    }
    return total
  }
}
