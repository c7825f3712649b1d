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

/// Rows whose float32 sums are added before they go to Float64, as in `sumAxis`.
private let depth = 32

/// Rows that one thread takes at a time; fixed, so that the order of summation is.
private func chunkRows(_ columns: Int) -> Int { max(depth, elementGrain / max(columns, 1)) }

/// Calls `body` for every eight columns, then for every one that is left.
@inline(__always)
private func forEachLane(_ columns: Int, _ body: (_ column: Int, _ lanes: Int) -> Void) {
  var column = 0
  while column + 8 <= columns {
    body(column, 8)
    column += 8
  }
  while column < columns {
    body(column, 1)
    column += 1
  }
}

/// Eight elements, or one and zeros.
@inline(__always)
private func load(_ x: UnsafePointer<Float>, _ lanes: Int) -> SIMD8<Float> {
  lanes == 8
    ? UnsafeRawPointer(x).loadUnaligned(as: SIMD8<Float>.self)
    : SIMD8<Float>(x[0], 0, 0, 0, 0, 0, 0, 0)
}

@inline(__always)
private func store(_ vector: SIMD8<Float>, _ x: UnsafeMutablePointer<Float>, _ lanes: Int) {
  if lanes == 8 {
    UnsafeMutableRawPointer(x).storeBytes(of: vector, as: SIMD8<Float>.self)
  } else {
    x[0] = vector[0]
  }
}

/// Adds float32 sums to Float64 totals and clears them.
private func flush(
  _ sums: UnsafeMutablePointer<Float>, into totals: UnsafeMutablePointer<Double>, count: Int
) {
  for i in 0..<count {
    totals[i] += Double(sums[i])
    sums[i] = 0
  }
}

/// Mean and biased variance of every column of `x` `[rows, columns]`: each chunk's sum and squared
/// deviations from its own mean, joined in Float64.
public func columnMoments(
  _ x: UnsafePointer<Float>, rows: Int, columns: Int,
  mean: UnsafeMutablePointer<Float>, variance: UnsafeMutablePointer<Float>
) {
  let grain = chunkRows(columns)
  let chunks = (rows + grain - 1) / grain
  // [chunks, 2, columns]
  withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * columns * chunks) { partials in
    let partial = partials.baseAddress!
    parallelFor(rows, grain: grain) { range in
      chunkMoments(
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

/// Sum and squared deviations from the mean of every column: `out` `[2, columns]`.
private func chunkMoments(
  _ x: UnsafePointer<Float>, rows: Int, columns: Int, _ out: UnsafeMutablePointer<Double>
) {
  withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * columns + 1) { scratch in
    let (sums, center) = (scratch.baseAddress!, scratch.baseAddress! + columns)
    out.update(repeating: 0, count: 2 * columns)
    sums.update(repeating: 0, count: columns)
    for start in stride(from: 0, to: rows, by: depth) {
      addRows(x + start * columns, min(depth, rows - start), columns, sums)
      flush(sums, into: out, count: columns)
    }
    for i in 0..<columns { center[i] = Float(out[i] / Double(rows)) }
    for start in stride(from: 0, to: rows, by: depth) {
      addSquares(x + start * columns, min(depth, rows - start), columns, center, sums)
      flush(sums, into: out + columns, count: columns)
    }
  }
}

private func addRows(
  _ x: UnsafePointer<Float>, _ rows: Int, _ columns: Int, _ sums: UnsafeMutablePointer<Float>
) {
  var row = 0
  while row + 4 <= rows {
    let (a, b) = (x + row * columns, x + (row + 1) * columns)
    let (c, d) = (x + (row + 2) * columns, x + (row + 3) * columns)
    for i in 0..<columns { sums[i] += (a[i] + b[i]) + (c[i] + d[i]) }
    row += 4
  }
  for row in row..<rows {
    let a = x + row * columns
    for i in 0..<columns { sums[i] += a[i] }
  }
}

private func addSquares(
  _ x: UnsafePointer<Float>, _ rows: Int, _ columns: Int, _ center: UnsafePointer<Float>,
  _ sums: UnsafeMutablePointer<Float>
) {
  var row = 0
  while row + 2 <= rows {
    let (a, b) = (x + row * columns, x + (row + 1) * columns)
    for i in 0..<columns {
      let (p, q) = (a[i] - center[i], b[i] - center[i])
      sums[i] += p * p + q * q
    }
    row += 2
  }
  for row in row..<rows {
    let a = x + row * columns
    for i in 0..<columns { sums[i] += (a[i] - center[i]) * (a[i] - center[i]) }
  }
}

/// Normalizes every column, with max(0, y) after it where `relu` says so.
public func normalizeColumns(
  _ x: UnsafePointer<Float>, rows: Int, columns: Int, _ channel: ChannelStatistics, relu: Bool,
  _ out: UnsafeMutablePointer<Float>
) {
  withFactors(channel, columns) { factor in
    parallelFor(rows, grain: chunkRows(columns)) { range in
      for row in range {
        normalizeRow(x + row * columns, columns, channel, factor, relu, out + row * columns)
      }
    }
  }
}

private func normalizeRow(
  _ x: UnsafePointer<Float>, _ columns: Int, _ channel: ChannelStatistics,
  _ factor: UnsafePointer<Float>, _ relu: Bool, _ out: UnsafeMutablePointer<Float>
) {
  let (mean, shift) = (channel.mean, channel.shift)
  if relu {
    for i in 0..<columns {
      let y = (x[i] - mean[i]) * factor[i] + shift[i]
      out[i] = y < 0 ? 0 : y
    }
  } else {
    for i in 0..<columns { out[i] = (x[i] - mean[i]) * factor[i] + shift[i] }
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
  let grain = chunkRows(columns)
  let chunks = (rows + grain - 1) / grain
  // [chunks, 2, columns]
  withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * columns * chunks) { partials in
    let partial = partials.baseAddress!
    withFactors(channel, columns) { factor in
      parallelFor(rows, grain: grain) { range in
        let start = range.lowerBound * columns
        parameterSums(
          gradient + start, x + start, range.count, columns, channel, factor, relu,
          partial + range.lowerBound / grain * 2 * columns)
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

/// Sums of g and of g * (x - mean): `out` `[2, columns]`.
private func parameterSums(
  _ gradient: UnsafePointer<Float>, _ x: UnsafePointer<Float>, _ rows: Int, _ columns: Int,
  _ channel: ChannelStatistics, _ factor: UnsafePointer<Float>, _ relu: Bool,
  _ out: UnsafeMutablePointer<Double>
) {
  withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * columns + 1) { scratch in
    let sums = scratch.baseAddress!
    out.update(repeating: 0, count: 2 * columns)
    sums.update(repeating: 0, count: 2 * columns)
    for start in stride(from: 0, to: rows, by: depth) {
      let end = min(start + depth, rows)
      for row in stride(from: start, to: end - 1, by: 2) {
        addProducts(
          gradient + row * columns, x + row * columns, next: columns, columns, channel, factor,
          relu, sums)
      }
      if (end - start) % 2 == 1 {
        addProducts(
          gradient + (end - 1) * columns, x + (end - 1) * columns, next: nil, columns, channel,
          factor, relu, sums)
      }
      flush(sums, into: out, count: 2 * columns)
    }
  }
}

/// Adds one row, or with `next` two that lie so far apart: g to the first `columns` sums, g * (x - mean)
/// to the others. The gradient counts where the output, computed as the forward did, was positive.
private func addProducts(
  _ gradient: UnsafePointer<Float>, _ x: UnsafePointer<Float>, next: Int?, _ columns: Int,
  _ channel: ChannelStatistics, _ factor: UnsafePointer<Float>, _ relu: Bool,
  _ sums: UnsafeMutablePointer<Float>
) {
  let products = sums + columns
  forEachLane(columns) { i, lanes in
    let (mean, shift) = (load(channel.mean + i, lanes), load(channel.shift + i, lanes))
    let factor = load(factor + i, lanes)
    func kept(_ offset: Int) -> (gradient: SIMD8<Float>, centered: SIMD8<Float>) {
      let centered = load(x + offset + i, lanes) - mean
      let g = load(gradient + offset + i, lanes)
      return (relu ? g.replacing(with: 0, where: centered * factor + shift .<= 0) : g, centered)
    }
    var (sum, product) = (load(sums + i, lanes), load(products + i, lanes))
    let first = kept(0)
    sum += first.gradient
    product += first.gradient * first.centered
    if let next {
      let second = kept(next)
      sum += second.gradient
      product += second.gradient * second.centered
    }
    store(sum, sums + i, lanes)
    store(product, products + i, lanes)
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
  withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * columns + 1) { pull in
    let (level, slope) = (pull.baseAddress!, pull.baseAddress! + columns)
    let share = training ? 1 / Float(rows) : 0
    for i in 0..<columns {
      level[i] = shiftGradient[i] * share
      slope[i] = scaleGradient[i] * channel.inverseDeviation[i] * share
    }
    withFactors(channel, columns) { factor in
      parallelFor(rows, grain: chunkRows(columns)) { range in
        for row in range {
          let start = row * columns
          inputGradientRow(
            gradient + start, x + start, columns, channel, factor, level, slope, relu, out + start)
        }
      }
    }
  }
}

/// `out = factor * (g - level - (x - mean) * slope)`.
private func inputGradientRow(
  _ gradient: UnsafePointer<Float>, _ x: UnsafePointer<Float>, _ columns: Int,
  _ channel: ChannelStatistics, _ factor: UnsafePointer<Float>, _ level: UnsafePointer<Float>,
  _ slope: UnsafePointer<Float>, _ relu: Bool, _ out: UnsafeMutablePointer<Float>
) {
  let (mean, shift) = (channel.mean, channel.shift)
  if relu {
    forEachLane(columns) { i, lanes in
      let (centered, factor) = (load(x + i, lanes) - load(mean + i, lanes), load(factor + i, lanes))
      let y = centered * factor + load(shift + i, lanes)
      let g = load(gradient + i, lanes).replacing(with: 0, where: y .<= 0)
      let pull = load(level + i, lanes) + centered * load(slope + i, lanes)
      store(factor * (g - pull), out + i, lanes)
    }
  } else {
    for i in 0..<columns {
      out[i] = factor[i] * (gradient[i] - level[i] - (x[i] - mean[i]) * slope[i])
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
