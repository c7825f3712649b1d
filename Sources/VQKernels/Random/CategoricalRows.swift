import Glibc

/// For every row of logits `x` [rows, columns] and p = softmax(x): `expected = sum_j p_j log p_j`
/// and `logSums = log(sum_j e^x_j)`.
public func expectedLogProbabilityRows(
  _ x: UnsafePointer<Float>, expected: UnsafeMutablePointer<Float>,
  logSums: UnsafeMutablePointer<Float>, rows: Int, columns: Int
) {
  parallelFor(rows, grain: max(1, elementGrain / max(columns, 1))) { range in
    for row in range {
      let source = x + row * columns
      let largest = rowMaximum(source, columns)
      let (sum, weighted) = exponentialMoments(source, columns, largest)
      let shift = Glibc.log(sum)
      expected[row] = Float(weighted / sum - shift)
      logSums[row] = Float(Double(largest) + shift)
    }
  }
}

/// `sum(e^y)` and `sum(y e^y)` of `y = x - shift`.
private func exponentialMoments(
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

/// The gradient of `expected` in the logits: `g p_j (log p_j - expected)`.
public func expectedLogProbabilityRowsGradient(
  _ x: UnsafePointer<Float>, expected: UnsafePointer<Float>, logSums: UnsafePointer<Float>,
  _ g: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, rows: Int, columns: Int
) {
  parallelFor(rows, grain: max(1, elementGrain / max(columns, 1))) { range in
    for row in range {
      expectedGradientRow(
        x + row * columns, expected[row], logSums[row], g[row], out + row * columns, columns)
    }
  }
}

private func expectedGradientRow(
  _ x: UnsafePointer<Float>, _ expected: Float, _ logSum: Float, _ g: Float,
  _ out: UnsafeMutablePointer<Float>, _ count: Int
) {
  for j in 0..<count {
    let logProbability = boundedLogarithm(x[j] - logSum)
    out[j] = g * exponential(logProbability) * (logProbability - expected)
  }
}

/// `-log p` of the code of each row, `logSums[i] - x[i, codes[i]]`.
public func surprisalOfCodes(
  _ x: UnsafePointer<Float>, logSums: UnsafePointer<Float>, _ codes: UnsafePointer<Int32>,
  _ out: UnsafeMutablePointer<Float>, rows: Int, columns: Int
) {
  for row in 0..<rows { out[row] = logSums[row] - x[row * columns + Int(codes[row])] }
}
