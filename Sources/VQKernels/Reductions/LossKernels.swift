import Glibc

/// `sum((a - b)^2)`, or `sum(|a - b|)`.
public func differenceSum(
  squared: Bool, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, count: Int
) -> Double {
  chunkedSum(count, grain: elementGrain) { range in
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 512) { tile in
      let tile = tile.baseAddress!
      var total = 0.0
      for start in stride(from: range.lowerBound, to: range.upperBound, by: 512) {
        let length = min(512, range.upperBound - start)
        let (x, y) = (a + start, b + start)
        if squared {
          for i in 0..<length { tile[i] = (x[i] - y[i]) * (x[i] - y[i]) }
        } else {
          for i in 0..<length { tile[i] = abs(x[i] - y[i]) }
        }
        total += rowSum(tile, length)
      }
      return total
    }
  }
}

/// The gradient of `differenceSum`: `out = scale * 2 (a - b)`, or `scale * sign(a - b)`.
public func differenceGradient(
  squared: Bool, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>, scale: Float, count: Int
) {
  parallelFor(count, grain: elementGrain) { range in
    if squared {
      let factor = 2 * scale
      for i in range { out[i] = factor * (a[i] - b[i]) }
    } else {
      for i in range { out[i] = a[i] > b[i] ? scale : (a[i] < b[i] ? -scale : 0) }
    }
  }
}

/// `sum over rows of -sum_j t_j log softmax(x)_j` with
/// `t = (1 - smoothing) onehot(label) + smoothing / k`, and the logarithm of each row's sum of
/// exponentials.
public func crossEntropySum(
  _ x: UnsafePointer<Float>, _ labels: UnsafePointer<Int32>,
  _ logSums: UnsafeMutablePointer<Float>, smoothing: Float, rows: Int, columns: Int
) -> Double {
  chunkedSum(rows, grain: max(1, elementGrain / columns)) { range in
    var total = 0.0
    for row in range {
      let source = x + row * columns
      let largest = rowMaximum(source, columns)
      let logSum = Double(largest) + Glibc.log(exponentialSum(source, columns, largest))
      logSums[row] = Float(logSum)
      let own = Double(source[Int(labels[row])])
      if smoothing == 0 {
        total += logSum - own
      } else {
        let mean = rowSum(source, columns) / Double(columns)
        total += logSum - Double(1 - smoothing) * own - Double(smoothing) * mean
      }
    }
    return total
  }
}

/// The gradient of `crossEntropySum`, times `scale`: `scale * (softmax(x) - t)`.
public func crossEntropyGradient(
  _ x: UnsafePointer<Float>, _ labels: UnsafePointer<Int32>, _ logSums: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>, smoothing: Float, scale: Float, rows: Int, columns: Int
) {
  parallelFor(rows, grain: max(1, elementGrain / columns)) { range in
    let share = smoothing / Float(columns)
    for row in range {
      let source = x + row * columns
      let target = out + row * columns
      let logSum = logSums[row]
      for i in 0..<columns { target[i] = scale * (exponential(source[i] - logSum) - share) }
      target[Int(labels[row])] -= scale * (1 - smoothing)
    }
  }
}
