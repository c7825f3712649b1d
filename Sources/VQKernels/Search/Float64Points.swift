/// The mean of the rows of `x` [n, d], and the largest distance of an element from it.
public func meanAndReach(
  _ x: UnsafePointer<Double>, rows n: Int, width d: Int
) -> (mean: [Double], reach: Double) {
  // Shares of each row: a sum could overflow.
  let share = 1 / Double(n)
  var mean = [Double](repeating: 0, count: d)
  for row in 0..<n {
    for i in 0..<d { mean[i] += x[row * d + i] * share }
  }
  var reach = 0.0
  for row in 0..<n {
    for i in 0..<d { reach = max(reach, (x[row * d + i] - mean[i]).magnitude) }
  }
  return (mean, min(reach, .greatestFiniteMagnitude))
}

/// `out = (x - mean) scale`, [n, d], rounded to float32.
public func standardize(
  _ x: UnsafePointer<Double>, rows n: Int, width d: Int, mean: UnsafePointer<Double>,
  scale: Double, _ out: UnsafeMutablePointer<Float>
) {
  parallelFor(n, grain: max(1, elementGrain / d)) { range in
    for row in range {
      for i in 0..<d { out[row * d + i] = Float((x[row * d + i] - mean[i]) * scale) }
    }
  }
}

/// The index of the first NaN or infinity.
public func firstNonFiniteElement(_ x: UnsafePointer<Double>, count: Int) -> Int? {
  let chunks = (count + elementGrain - 1) / elementGrain
  var found = [Int](repeating: count, count: chunks)
  found.withUnsafeMutableBufferPointer { found in
    parallelFor(count, grain: elementGrain) { range in
      if let first = range.first(where: { !x[$0].isFinite }) {
        found[range.lowerBound / elementGrain] = first
      }
    }
  }
  return found.min().flatMap { $0 < count ? $0 : nil }
}
