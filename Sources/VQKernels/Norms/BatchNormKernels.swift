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

private let kernels = NormalizationKernels.usable

/// Mean and biased variance of every column of `x` `[rows, columns]`: each chunk's sum and squared
/// deviations from its own mean, joined in Float64.
public func columnMoments(
  _ x: UnsafePointer<Float>, rows: Int, columns: Int,
  mean: UnsafeMutablePointer<Float>, variance: UnsafeMutablePointer<Float>
) {
  let grain = columnChunkRows(columns)
  let chunks = (rows + grain - 1) / grain
  // [chunks, 2, columns]
  withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * columns * chunks) { partials in
    let partial = partials.baseAddress!
    parallelFor(rows, grain: grain) { range in
      columnChunkMoments(
        x + range.lowerBound * columns, rows: range.count, columns: columns,
        partial + range.lowerBound / grain * 2 * columns)
    }
    for column in 0..<columns {
      var (sum, squares) = (0.0, 0.0)
      for chunk in 0..<chunks { sum += partial[2 * chunk * columns + column] }
      let center = sum / Double(rows)
      for chunk in 0..<chunks {
        let count = Double(min(grain, rows - chunk * grain))
        let offset = partial[2 * chunk * columns + column] / count - center
        squares += partial[(2 * chunk + 1) * columns + column] + count * offset * offset
      }
      mean[column] = Float(center)
      variance[column] = Float(squares / Double(rows))
    }
  }
}

/// Normalizes every column, with max(0, y) after it where `relu` says so.
public func normalizeColumns(
  _ x: UnsafePointer<Float>, rows: Int, columns: Int, _ channel: ChannelStatistics, relu: Bool,
  _ out: UnsafeMutablePointer<Float>
) {
  withFactors(channel, columns) { factor in
    parallelFor(rows, grain: columnChunkRows(columns)) { range in
      let start = range.lowerBound * columns
      kernels.normalizeRows(
        x + start, range.count, columns, channel.mean, factor, channel.shift, relu, out + start)
    }
  }
}

/// Calls `body` with scale * inverseDeviation of every column.
private func withFactors(
  _ channel: ChannelStatistics, _ columns: Int, _ body: (UnsafePointer<Float>) -> Void
) {
  withUnsafeTemporaryAllocation(of: Float.self, capacity: columns + 1) { factors in
    let factor = factors.baseAddress!
    for i in 0..<columns { factor[i] = channel.scale[i] * channel.inverseDeviation[i] }
    body(factor)
  }
}

/// Gradients of scale and shift: `scaleGradient[c] = sum of g * (x - mean) * inverseDeviation`,
/// `shiftGradient[c] = sum of g`, where g counts only where the output was positive if `relu`.
public func normalizationParameterGradients(
  _ gradient: UnsafePointer<Float>, _ x: UnsafePointer<Float>, rows: Int, columns: Int,
  _ channel: ChannelStatistics, relu: Bool,
  scale: UnsafeMutablePointer<Float>, shift: UnsafeMutablePointer<Float>
) {
  let grain = columnChunkRows(columns)
  let chunks = (rows + grain - 1) / grain
  // [chunks, 2, columns]
  withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * columns * chunks) { partials in
    let partial = partials.baseAddress!
    withFactors(channel, columns) { factor in
      parallelFor(rows, grain: grain) { range in
        let start = range.lowerBound * columns
        // Sums of g and of g (x - mean).
        columnTotals(
          rows: range.count, size: 2 * columns,
          partial + range.lowerBound / grain * 2 * columns
        ) {
          kernels.addGradientProducts(
            gradient + start + $0 * columns, x + start + $0 * columns, $1, columns, channel.mean,
            factor, channel.shift, relu, $2)
        }
      }
    }
    for column in 0..<columns {
      var (sum, products) = (0.0, 0.0)
      for chunk in 0..<chunks {
        sum += partial[2 * chunk * columns + column]
        products += partial[(2 * chunk + 1) * columns + column]
      }
      shift[column] = Float(sum)
      scale[column] = Float(products * Double(channel.inverseDeviation[column]))
    }
  }
}

/// Gradient of the input. With batch statistics (`training`)
/// `factor * (g - (shiftGradient + normalized x * scaleGradient) / rows)`, otherwise `factor * g`,
/// factor = scale * inverseDeviation.
public func normalizationInputGradient(
  _ gradient: UnsafePointer<Float>, _ x: UnsafePointer<Float>, rows: Int, columns: Int,
  _ channel: ChannelStatistics, relu: Bool, share: Float,
  scaleGradient: UnsafePointer<Float>, shiftGradient: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>
) {
  withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * columns + 1) { pull in
    let (level, slope) = (pull.baseAddress!, pull.baseAddress! + columns)
    for i in 0..<columns {
      level[i] = shiftGradient[i] * share
      slope[i] = scaleGradient[i] * channel.inverseDeviation[i] * share
    }
    withFactors(channel, columns) { factor in
      parallelFor(rows, grain: columnChunkRows(columns)) { range in
        let start = range.lowerBound * columns
        kernels.pullGradientRows(
          gradient + start, x + start, range.count, columns, channel.mean, factor, channel.shift,
          level, slope, relu, out + start)
      }
    }
  }
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
