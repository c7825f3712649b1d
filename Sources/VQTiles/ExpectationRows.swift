// Rows of expectations under softmax. Nothing is rounded otherwise by one instruction set than by
// another but the exponential.

/// `sum(e^y)` and `sum(y e^y)` of `y = x - shift`.
public func exponentialMoments(
  _ x: UnsafePointer<Float>, _ count: Int, _ shift: Float
) -> (sum: Double, weighted: Double) {
  withUnsafeTemporaryAllocation(of: Float.self, capacity: 1024) { tile in
    let powers = tile.baseAddress!
    let products = powers + 512
    var (sum, weighted) = (0.0, 0.0)
    for start in stride(from: 0, to: count, by: 512) {
      let length = min(512, count - start)
      exponentialTile(x + start, length, shift, powers, products)
      sum += rowSum(powers, length)
      weighted += rowSum(products, length)
    }
    return (sum, weighted)
  }
}

/// e^-104 is 0 in float32, and times -104 too; times negative infinity it would not be.
@inline(__always)
private func boundedLogarithm(_ x: Float) -> Float { x < -104 ? -104 : x }

private func exponentialTile(
  _ x: UnsafePointer<Float>, _ count: Int, _ shift: Float, _ powers: UnsafeMutablePointer<Float>,
  _ products: UnsafeMutablePointer<Float>
) {
  for i in 0..<count {
    let y = boundedLogarithm(x[i] - shift)
    let power = exponential(y)
    powers[i] = power
    products[i] = power * y
  }
}

/// `g p_j (log p_j - expected)`, where `log p_j = x_j - logSum`.
public func expectedGradientRow(
  _ x: UnsafePointer<Float>, _ expected: Float, _ logSum: Float, _ g: Float,
  _ out: UnsafeMutablePointer<Float>, count: Int
) {
  for j in 0..<count {
    let logProbability = boundedLogarithm(x[j] - logSum)
    out[j] = g * exponential(logProbability) * (logProbability - expected)
  }
}
