/// What batch normalization knows of a channel, for `columns` channels each.
///
/// y = (x - mean) * inverseDeviation * scale + shift.
public struct ChannelStatistics {
  public let mean, inverseDeviation: UnsafePointer<Float>
  public let scale, shift: UnsafePointer<Float>

  public init(
    mean: UnsafePointer<Float>, inverseDeviation: UnsafePointer<Float>,
    scale: UnsafePointer<Float>, shift: UnsafePointer<Float>
  ) {
    (self.mean, self.inverseDeviation) = (mean, inverseDeviation)
    (self.scale, self.shift) = (scale, shift)
  }
}

/// Mean and biased variance of every column of `x` `[rows, columns]`, in two passes.
public func columnMoments(
  _ x: UnsafePointer<Float>, rows: Int, columns: Int,
  mean: UnsafeMutablePointer<Float>, variance: UnsafeMutablePointer<Float>
) {
  let total = UnsafeMutablePointer<Double>.allocate(capacity: max(columns, 1))
  defer { total.deallocate() }
  columnSums(x, rows: rows, columns: columns, mean)
  for i in 0..<columns { mean[i] /= Float(rows) }
  reduceRows(rows: rows, width: columns, total) { range, partial in
    var row = range.lowerBound
    while row + 2 <= range.upperBound {
      let (a, b) = (x + row * columns, x + (row + 1) * columns)
      for i in 0..<columns {
        let (p, q) = (a[i] - mean[i], b[i] - mean[i])
        partial[i] += p * p + q * q
      }
      row += 2
    }
    for row in row..<range.upperBound {
      let a = x + row * columns
      for i in 0..<columns { partial[i] += (a[i] - mean[i]) * (a[i] - mean[i]) }
    }
  }
  for i in 0..<columns { variance[i] = Float(total[i] / Double(rows)) }
}

/// Normalizes every column, with `max(0, y)` after it where `relu` says so.
public func normalizeColumns(
  _ x: UnsafePointer<Float>, rows: Int, columns: Int, _ channel: ChannelStatistics, relu: Bool,
  _ out: UnsafeMutablePointer<Float>
) {
  withFactors(columns, channel) { factor in
    let (mean, shift) = (channel.mean, channel.shift)
    parallelFor(rows, grain: max(1, elementGrain / max(1, columns))) { range in
      for row in range {
        let (a, y) = (x + row * columns, out + row * columns)
        if relu {
          for i in 0..<columns {
            let value = (a[i] - mean[i]) * factor[i] + shift[i]
            y[i] = value < 0 ? 0 : value
          }
        } else {
          for i in 0..<columns { y[i] = (a[i] - mean[i]) * factor[i] + shift[i] }
        }
      }
    }
  }
}

/// Gradients of scale and shift: `scaleGradient[c] = sum of g * (x - mean) * inverseDeviation`,
/// `shiftGradient[c] = sum of g`, where g counts only where the output was positive if `relu`.
public func normalizationParameterGradients(
  _ gradient: UnsafePointer<Float>, _ x: UnsafePointer<Float>, rows: Int, columns: Int,
  _ channel: ChannelStatistics, relu: Bool,
  scale: UnsafeMutablePointer<Float>, shift: UnsafeMutablePointer<Float>
) {
  let total = UnsafeMutablePointer<Double>.allocate(capacity: max(1, 2 * columns))
  defer { total.deallocate() }
  withFactors(columns, channel) { factor in
    let (mean, offset) = (channel.mean, channel.shift)
    reduceRows(rows: rows, width: 2 * columns, total) { range, partial in
      let product = partial + columns
      for row in range {
        let (g, a) = (gradient + row * columns, x + row * columns)
        if relu {
          for i in 0..<columns {
            let centered = a[i] - mean[i]
            let kept = centered * factor[i] + offset[i] > 0 ? g[i] : 0
            partial[i] += kept
            product[i] += kept * centered
          }
        } else {
          for i in 0..<columns {
            partial[i] += g[i]
            product[i] += g[i] * (a[i] - mean[i])
          }
        }
      }
    }
  }
  for i in 0..<columns {
    shift[i] = Float(total[i])
    scale[i] = Float(total[columns + i] * Double(channel.inverseDeviation[i]))
  }
}

/// Gradient of the input. With batch statistics (`training`)
/// `factor * (g - (shiftGradient + normalized x * scaleGradient) / rows)`, otherwise `factor * g`,
/// factor = scale * inverseDeviation.
public func normalizationInputGradient(
  _ gradient: UnsafePointer<Float>, _ x: UnsafePointer<Float>, rows: Int, columns: Int,
  _ channel: ChannelStatistics, relu: Bool, training: Bool,
  scaleGradient: UnsafePointer<Float>, shiftGradient: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>
) {
  let slopes = UnsafeMutablePointer<Float>.allocate(capacity: max(1, 2 * columns))
  defer { slopes.deallocate() }
  let (slope, level) = (slopes, slopes + columns)
  let share = training ? 1 / Float(rows) : 0
  for i in 0..<columns {
    slope[i] = scaleGradient[i] * channel.inverseDeviation[i] * share
    level[i] = shiftGradient[i] * share
  }
  withFactors(columns, channel) { factor in
    let (mean, offset) = (channel.mean, channel.shift)
    parallelFor(rows, grain: max(1, elementGrain / max(1, columns))) { range in
      for row in range {
        let (g, a, y) = (gradient + row * columns, x + row * columns, out + row * columns)
        if relu {
          for i in 0..<columns {
            let centered = a[i] - mean[i]
            let kept = centered * factor[i] + offset[i] > 0 ? g[i] : 0
            y[i] = factor[i] * (kept - level[i] - centered * slope[i])
          }
        } else {
          for i in 0..<columns {
            y[i] = factor[i] * (g[i] - level[i] - (a[i] - mean[i]) * slope[i])
          }
        }
      }
    }
  }
}

/// Calls `body` with scale * inverseDeviation of every column.
@inline(__always)
private func withFactors(
  _ columns: Int, _ channel: ChannelStatistics, _ body: (UnsafePointer<Float>) -> Void
) {
  let factor = UnsafeMutablePointer<Float>.allocate(capacity: max(1, columns))
  defer { factor.deallocate() }
  for i in 0..<columns { factor[i] = channel.scale[i] * channel.inverseDeviation[i] }
  body(factor)
}

/// `out[i] = (1 - weight) * out[i] + weight * factor * x[i]`.
public func moveTowards(
  _ x: UnsafePointer<Float>, _ factor: Float, _ weight: Float, _ out: UnsafeMutablePointer<Float>,
  count: Int
) {
  for i in 0..<count { out[i] = (1 - weight) * out[i] + weight * (factor * x[i]) }
}

/// `x[i] = 1 / sqrt(x[i] + epsilon)`.
public func invertDeviations(_ x: UnsafeMutablePointer<Float>, epsilon: Float, count: Int) {
  for i in 0..<count { x[i] = 1 / (x[i] + epsilon).squareRoot() }
}
