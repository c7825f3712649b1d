import Glibc

/// A Gaussian of `count` taps about its middle, that sum to 1.
public func gaussianTaps(count: Int, sigma: Double) -> [Double] {
  let middle = Double(count - 1) / 2
  let weights = (0..<count).map { tap in
    let distance = (Double(tap) - middle) / sigma
    return exp(-distance * distance / 2)
  }
  let total = weights.reduce(0, +)
  return weights.map { $0 / total }
}

/// The sum of the SSIM index over all valid windows of all channels of images [n, h, w, c], in
/// Float64.
///
/// The sum and the difference s, d of a pair give every moment of it: the means `(E s +- E d) / 2`,
/// `var a + var b = (var s + var d) / 2` and `2 cov = (var s - var d) / 2`.
public func structuralSimilaritySum(
  _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, count n: Int, height: Int, width: Int,
  channels: Int, taps: [Double], c1: Double, c2: Double
) -> Double {
  let outHeight = height - taps.count + 1
  let row = width * channels
  let outputs = row - (taps.count - 1) * channels
  return taps.withUnsafeBufferPointer { taps in
    let (weights, window) = (taps.baseAddress!, taps.count)
    return chunkedSum(n * outHeight, grain: max(1, elementGrain / (row * window))) { range in
      withUnsafeTemporaryAllocation(of: Double.self, capacity: 4 * (row + outputs)) { buffer in
        let columns = buffer.baseAddress!
        let moments = columns + 4 * row
        var total = 0.0
        for index in range {
          let start = (index / outHeight * height + index % outHeight) * row
          columnMoments(a + start, b + start, row: row, weights, window, columns)
          windowMoments(
            columns, row: row, outputs: outputs, channels: channels, weights, window, moments)
          total += similaritySum(moments, count: outputs, c1: c1, c2: c2)
        }
        return total
      }
    }
  }
}

/// `E s, E d, E s^2, E d^2` down the columns of `window` rows: [4, row].
private func columnMoments(
  _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, row: Int,
  _ weights: UnsafePointer<Double>, _ window: Int, _ moments: UnsafeMutablePointer<Double>
) {
  let (s, d, ss, dd) = (moments, moments + row, moments + 2 * row, moments + 3 * row)
  for i in 0..<4 * row { moments[i] = 0 }
  for tap in 0..<window {
    let (x, y, weight) = (a + tap * row, b + tap * row, weights[tap])
    for i in 0..<row {
      let (p, q) = (Double(x[i]), Double(y[i]))
      let (sum, difference) = (p + q, p - q)
      s[i] += weight * sum
      d[i] += weight * difference
      ss[i] += weight * sum * sum
      dd[i] += weight * difference * difference
    }
  }
}

/// `[4, row]` column moments to the moments of the windows of one output row, [4, outputs].
private func windowMoments(
  _ columns: UnsafePointer<Double>, row: Int, outputs: Int, channels: Int,
  _ weights: UnsafePointer<Double>, _ window: Int, _ out: UnsafeMutablePointer<Double>
) {
  for i in 0..<4 * outputs { out[i] = 0 }
  for moment in 0..<4 {
    let target = out + moment * outputs
    for tap in 0..<window {
      let (source, weight) = (columns + moment * row + tap * channels, weights[tap])
      for i in 0..<outputs { target[i] += weight * source[i] }
    }
  }
}

/// The sum of the index over windows with `moments` [4, count].
private func similaritySum(
  _ moments: UnsafePointer<Double>, count: Int, c1: Double, c2: Double
) -> Double {
  var total = 0.0
  for i in 0..<count {
    let (s, d) = (moments[i], moments[count + i])
    let (varianceS, varianceD) = (moments[2 * count + i] - s * s, moments[3 * count + i] - d * d)
    let luminance = ((s * s - d * d) / 2 + c1) / ((s * s + d * d) / 2 + c1)
    let structure = ((varianceS - varianceD) / 2 + c2) / ((varianceS + varianceD) / 2 + c2)
    total += luminance * structure
  }
  return total
}
