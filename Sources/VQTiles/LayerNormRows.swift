// Rows of layer normalization, each normalized by moments of its own: y = (x - mean) r weight +
// bias, r = 1 / sqrt(variance + epsilon). Nothing is rounded otherwise by one instruction set than
// by another.

/// The sum of `(x[i] - mean)^2`.
@inline(__always)
private func squaredDeviations(_ x: UnsafePointer<Float>, _ count: Int, _ mean: Float) -> Double {
  var total = 0.0
  var i = 0
  while i + 16 <= count {
    let end = min(i + 32 * sumDepth, count)
    var (even, odd) = (SIMD16<Float>.zero, SIMD16<Float>.zero)
    while i + 32 <= end {
      let (a, b) = (load16(x + i) - mean, load16(x + i + 16) - mean)
      even += a * a
      odd += b * b
      i += 32
    }
    if i + 16 <= end {
      let a = load16(x + i) - mean
      even += a * a
      i += 16
    }
    total += laneTotal(even + odd)
  }
  while i < count {
    total += Double((x[i] - mean) * (x[i] - mean))
    i += 1
  }
  return total
}

/// The sums of `g[i] w[i]` and of `g[i] w[i] (x[i] - mean)`.
@inline(__always)
private func gradientSums(
  _ g: UnsafePointer<Float>, _ w: UnsafePointer<Float>, _ x: UnsafePointer<Float>, _ count: Int,
  _ mean: Float
) -> (level: Double, slope: Double) {
  var (level, slope) = (0.0, 0.0)
  var i = 0
  while i + 16 <= count {
    let end = min(i + 16 * sumDepth, count)
    var (levels, slopes) = (SIMD16<Float>.zero, SIMD16<Float>.zero)
    while i + 16 <= end {
      let weighted = load16(g + i) * load16(w + i)
      levels += weighted
      slopes += weighted * (load16(x + i) - mean)
      i += 16
    }
    level += laneTotal(levels)
    slope += laneTotal(slopes)
  }
  while i < count {
    level += Double(g[i] * w[i])
    slope += Double(g[i] * w[i] * (x[i] - mean))
    i += 1
  }
  return (level, slope)
}

/// y of a row [count], at least one; `moments` [2] gets the mean, 0 unless `centers`, and r.
public func layerNormRow(
  _ x: UnsafePointer<Float>, count: Int, epsilon: Double, centers: Bool,
  _ weight: UnsafePointer<Float>, _ bias: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>, _ moments: UnsafeMutablePointer<Float>
) {
  let n = Double(count)
  let mean = centers ? Float(rowSum(x, count) / n) : 0
  let squares = squaredDeviations(x, count, mean)
  let r = Float(1 / (squares / n + epsilon).squareRoot())
  moments[0] = mean
  moments[1] = r
  var i = 0
  while i + 16 <= count {
    store16(((load16(x + i) - mean) * r) * load16(weight + i) + load16(bias + i), out + i)
    i += 16
  }
  while i < count {
    out[i] = (x[i] - mean) * r * weight[i] + bias[i]
    i += 1
  }
}

/// The gradient of x from that of y, and where `sums` [2, count] is given the addition of those of
/// weight and bias to it.
public func layerNormGradientRow(
  _ gradient: UnsafePointer<Float>, _ x: UnsafePointer<Float>, count: Int, centers: Bool,
  _ weight: UnsafePointer<Float>, _ moments: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>?, _ parameters: UnsafeMutablePointer<Float>?
) {
  let (mean, r) = (moments[0], moments[1])
  var (shift, pull): (Float, Float) = (0, 0)
  if out != nil {
    let (level, slope) = gradientSums(gradient, weight, x, count, mean)
    let n = Double(count)
    shift = centers ? Float(level / n) : 0
    pull = Float(slope / n * Double(r) * Double(r))
  }
  var i = 0
  while i + 16 <= count {
    let (g, centered) = (load16(gradient + i), load16(x + i) - mean)
    if let out {
      store16(((g * load16(weight + i) - shift) - centered * pull) * r, out + i)
    }
    if let parameters {
      let bias = parameters + count + i
      store16(load16(parameters + i) + g * (centered * r), parameters + i)
      store16(load16(bias) + g, bias)
    }
    i += 16
  }
  while i < count {
    let (g, centered) = (gradient[i], x[i] - mean)
    if let out { out[i] = ((g * weight[i] - shift) - centered * pull) * r }
    if let parameters {
      parameters[i] += g * (centered * r)
      parameters[count + i] += g
    }
    i += 1
  }
}

/// `out = factor g - level - (x - mean) slope` of each column.
public func pullGroupRows(
  _ gradient: UnsafePointer<Float>, _ x: UnsafePointer<Float>, rows: Int, columns: Int,
  mean: UnsafePointer<Float>, factor: UnsafePointer<Float>, level: UnsafePointer<Float>,
  slope: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>
) {
  for row in 0..<rows {
    let (gradient, x) = (gradient + row * columns, x + row * columns)
    let out = out + row * columns
    for i in 0..<columns {
      out[i] = factor[i] * gradient[i] - level[i] - (x[i] - mean[i]) * slope[i]
    }
  }
}
