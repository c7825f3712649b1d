/// Every row of `x` [n, width] to mean zero and unit biased variance:
/// `out = (x - mean) factors[row]`, `factors[row] = 1 / sqrt(variance + epsilon)`. Float64, the
/// variance about the mean.
public func standardizeRows(
  _ x: UnsafePointer<Float>, count n: Int, width: Int, epsilon: Double,
  _ out: UnsafeMutablePointer<Float>, factors: UnsafeMutablePointer<Double>
) {
  parallelFor(n, grain: rowGrain(width)) { range in
    for row in range {
      factors[row] = standardize(x + row * width, out + row * width, width, epsilon)
    }
  }
}

/// The pullback of `standardizeRows` at its output `y`: `factors[row] (g - mean(g) - y mean(g y))`.
public func standardizeRowsPullback(
  _ gradient: UnsafePointer<Float>, _ y: UnsafePointer<Float>, factors: UnsafePointer<Double>,
  count n: Int, width: Int, _ out: UnsafeMutablePointer<Float>
) {
  parallelFor(n, grain: rowGrain(width)) { range in
    for row in range {
      let start = row * width
      pullBack(gradient + start, y + start, factors[row], out + start, width)
    }
  }
}

private func standardize(
  _ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, _ width: Int, _ epsilon: Double
) -> Double {
  var sum = 0.0
  for i in 0..<width { sum += Double(x[i]) }
  let mean = sum / Double(width)
  var squares = 0.0
  for i in 0..<width {
    let deviation = Double(x[i]) - mean
    squares += deviation * deviation
  }
  let factor = 1 / (squares / Double(width) + epsilon).squareRoot()
  for i in 0..<width { out[i] = Float((Double(x[i]) - mean) * factor) }
  return factor
}

private func pullBack(
  _ g: UnsafePointer<Float>, _ y: UnsafePointer<Float>, _ factor: Double,
  _ out: UnsafeMutablePointer<Float>, _ width: Int
) {
  var sum = 0.0
  for i in 0..<width { sum += Double(g[i]) }
  let level = sum / Double(width)
  let slope = dotProduct(g, y, width: width) / Double(width)
  for i in 0..<width { out[i] = Float((Double(g[i]) - level - Double(y[i]) * slope) * factor) }
}
