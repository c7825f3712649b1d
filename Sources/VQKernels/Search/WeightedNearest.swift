/// `codes[i] = argmin_j sum_l w[i, l] (x[i, l] - codebook[j, l])^2`, the lowest index on equality,
/// for `x` and `weights` [n, d] and `codebook` [k, d].
///
/// The sum is that of Float64 terms in index order: float32 sums find the codes that can be
/// nearest, and only those are summed again.
public func weightedNearestCode(
  _ x: UnsafePointer<Float>, weights: UnsafePointer<Float>, count n: Int,
  _ codebook: UnsafePointer<Float>, codes k: Int, width d: Int, _ out: UnsafeMutablePointer<Int32>
) {
  let underflow = GradualUnderflow()
  defer { underflow.end() }
  parallelFor(n, grain: max(1, elementGrain / max(k * d, 1))) { range in
    withUnsafeTemporaryAllocation(of: Float.self, capacity: max(k, 1)) { buffer in
      let distances = buffer.baseAddress!
      for row in range {
        let (point, weight) = (x + row * d, weights + row * d)
        weightedDistances(point, weight, codebook, codes: k, width: d, distances)
        out[row] = exactNearest(point, weight, codebook, codes: k, width: d, distances)
      }
    }
  }
}

private func weightedDistances(
  _ x: UnsafePointer<Float>, _ w: UnsafePointer<Float>, _ codebook: UnsafePointer<Float>,
  codes k: Int, width d: Int, _ out: UnsafeMutablePointer<Float>
) {
  for j in 0..<k {
    let code = codebook + j * d
    var sums = SIMD16<Float>()
    var i = 0
    while i + 16 <= d {
      let difference = loadVector(x + i) - loadVector(code + i)
      sums += loadVector(w + i) * (difference * difference)
      i += 16
    }
    var rest: Float = 0
    while i < d {
      let difference = x[i] - code[i]
      rest += w[i] * (difference * difference)
      i += 1
    }
    out[j] = sums.sum() + rest
  }
}

/// The nearest of the codes whose float32 distance is the least up to rounding: a sum of d products
/// that are not negative is within `(d + 4) 2^-24` of itself.
private func exactNearest(
  _ x: UnsafePointer<Float>, _ w: UnsafePointer<Float>, _ codebook: UnsafePointer<Float>,
  codes k: Int, width d: Int, _ distances: UnsafePointer<Float>
) -> Int32 {
  var least = Float.infinity
  for j in 0..<k { least = distances[j] < least ? distances[j] : least }
  let limit = least * (1 + Float(d + 4) * 0x1p-22) + 0x1p-120
  var best = 0
  var shortest = Double.infinity
  for j in 0..<k where distances[j] <= limit {
    var sum = 0.0
    for i in 0..<d {
      let difference = Double(x[i]) - Double(codebook[j * d + i])
      sum += Double(w[i]) * (difference * difference)
    }
    if sum < shortest { (best, shortest) = (j, sum) }
  }
  return Int32(truncatingIfNeeded: best)
}
