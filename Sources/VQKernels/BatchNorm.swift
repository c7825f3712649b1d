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

/// Eight columns of one row, or the `lanes` that are left of it, zeros after them.
@inline(__always)
private func load(_ x: UnsafePointer<Float>, _ lanes: Int) -> SIMD8<Float> {
  if lanes == 8 { return UnsafeRawPointer(x).loadUnaligned(as: SIMD8<Float>.self) }
  var vector = SIMD8<Float>.zero
  for lane in 0..<lanes { vector[lane] = x[lane] }
  return vector
}

@inline(__always)
private func store(_ vector: SIMD8<Float>, _ x: UnsafeMutablePointer<Float>, _ lanes: Int) {
  if lanes == 8 {
    UnsafeMutableRawPointer(x).storeBytes(of: vector, as: SIMD8<Float>.self)
  } else {
    for lane in 0..<lanes { x[lane] = vector[lane] }
  }
}

@inline(__always)
private func add(_ vector: SIMD8<Float>, to total: UnsafeMutablePointer<Double>, _ lanes: Int) {
  for lane in 0..<lanes { total[lane] += Double(vector[lane]) }
}

/// Calls `body(column, lanes)` for every eight columns.
@inline(__always)
private func forEachBlock(_ columns: Int, _ body: (_ column: Int, _ lanes: Int) -> Void) {
  var column = 0
  while column < columns {
    body(column, min(8, columns - column))
    column += 8
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
  out.update(repeating: 0, count: 2 * columns)
  for start in stride(from: 0, to: rows, by: depth) {
    let end = min(start + depth, rows)
    forEachBlock(columns) { column, lanes in
      var sum = SIMD8<Float>.zero
      for row in start..<end { sum += load(x + row * columns + column, lanes) }
      add(sum, to: out + column, lanes)
    }
  }
  for start in stride(from: 0, to: rows, by: depth) {
    let end = min(start + depth, rows)
    forEachBlock(columns) { column, lanes in
      var center = SIMD8<Float>.zero
      for lane in 0..<lanes { center[lane] = Float(out[column + lane] / Double(rows)) }
      var squares = SIMD8<Float>.zero
      for row in start..<end {
        let deviation = load(x + row * columns + column, lanes) - center
        squares += deviation * deviation
      }
      add(squares, to: out + columns + column, lanes)
    }
  }
}

/// Normalizes every column, with max(0, y) after it where `relu` says so.
public func normalizeColumns(
  _ x: UnsafePointer<Float>, rows: Int, columns: Int, _ channel: ChannelStatistics, relu: Bool,
  _ out: UnsafeMutablePointer<Float>
) {
  parallelFor(rows, grain: chunkRows(columns)) { range in
    let start = range.lowerBound * columns
    if relu {
      normalize(x + start, range.count, columns, channel, out + start) {
        $0.replacing(with: 0, where: $0 .< 0)
      }
    } else {
      normalize(x + start, range.count, columns, channel, out + start) { $0 }
    }
  }
}

@inline(__always)
private func normalize(
  _ x: UnsafePointer<Float>, _ rows: Int, _ columns: Int, _ channel: ChannelStatistics,
  _ out: UnsafeMutablePointer<Float>, _ activation: (SIMD8<Float>) -> SIMD8<Float>
) {
  for start in stride(from: 0, to: rows, by: depth) {
    forEachBlock(columns) { column, lanes in
      let block = ChannelBlock(channel, column, lanes)
      for row in start..<min(start + depth, rows) {
        let place = row * columns + column
        let y = (load(x + place, lanes) - block.mean) * block.factor + block.shift
        store(activation(y), out + place, lanes)
      }
    }
  }
}

/// The statistics of eight channels, factor = scale * inverseDeviation.
private struct ChannelBlock {
  let mean, factor, shift: SIMD8<Float>

  @inline(__always)
  init(_ channel: ChannelStatistics, _ column: Int, _ lanes: Int) {
    mean = load(channel.mean + column, lanes)
    factor = load(channel.scale + column, lanes) * load(channel.inverseDeviation + column, lanes)
    shift = load(channel.shift + column, lanes)
  }

  /// The gradient before ReLU: none where the output, computed as the forward did, was not positive.
  @inline(__always)
  func kept(_ gradient: SIMD8<Float>, _ centered: SIMD8<Float>, _ relu: Bool) -> SIMD8<Float> {
    relu ? gradient.replacing(with: 0, where: centered * factor + shift .<= 0) : gradient
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
    parallelFor(rows, grain: grain) { range in
      let start = range.lowerBound * columns
      let out = partial + range.lowerBound / grain * 2 * columns
      if relu {
        parameterSums(gradient + start, x + start, range.count, columns, channel, out, relu: true)
      } else {
        parameterSums(gradient + start, x + start, range.count, columns, channel, out, relu: false)
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
@inline(__always)
private func parameterSums(
  _ gradient: UnsafePointer<Float>, _ x: UnsafePointer<Float>, _ rows: Int, _ columns: Int,
  _ channel: ChannelStatistics, _ out: UnsafeMutablePointer<Double>,
  relu: Bool
) {
  out.update(repeating: 0, count: 2 * columns)
  for start in stride(from: 0, to: rows, by: depth) {
    forEachBlock(columns) { column, lanes in
      let block = ChannelBlock(channel, column, lanes)
      var (sum, products) = (SIMD8<Float>.zero, SIMD8<Float>.zero)
      for row in start..<min(start + depth, rows) {
        let place = row * columns + column
        let centered = load(x + place, lanes) - block.mean
        let g = block.kept(load(gradient + place, lanes), centered, relu)
        sum += g
        products += g * centered
      }
      add(sum, to: out + column, lanes)
      add(products, to: out + columns + column, lanes)
    }
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
    parallelFor(rows, grain: chunkRows(columns)) { range in
      let start = range.lowerBound * columns
      let (g, x, out) = (gradient + start, x + start, out + start)
      if relu {
        inputGradient(g, x, range.count, columns, channel, level, slope, out, relu: true)
      } else {
        inputGradient(g, x, range.count, columns, channel, level, slope, out, relu: false)
      }
    }
  }
}

/// `out = factor * (g - level - (x - mean) * slope)`.
@inline(__always)
private func inputGradient(
  _ gradient: UnsafePointer<Float>, _ x: UnsafePointer<Float>, _ rows: Int, _ columns: Int,
  _ channel: ChannelStatistics, _ level: UnsafePointer<Float>, _ slope: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>,
  relu: Bool
) {
  for start in stride(from: 0, to: rows, by: depth) {
    forEachBlock(columns) { column, lanes in
      let block = ChannelBlock(channel, column, lanes)
      let (level, slope) = (load(level + column, lanes), load(slope + column, lanes))
      for row in start..<min(start + depth, rows) {
        let place = row * columns + column
        let centered = load(x + place, lanes) - block.mean
        let g = block.kept(load(gradient + place, lanes), centered, relu)
        store(block.factor * (g - level - centered * slope), out + place, lanes)
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
