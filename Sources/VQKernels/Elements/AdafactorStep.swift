/// Constants of one step of Adafactor.
public struct AdafactorStep {
  /// Learning rate times the parameter's scale.
  public var rate: Double
  /// Factor on the parameter before the step.
  public var shrink: Double
  /// The share of the new squares: `1 - beta2`.
  public var weight: Double
  /// The least mean that divides, and root of the least estimate.
  public var epsilon: Double
  /// The root mean square that an update has at most.
  public var threshold: Double

  public init(
    rate: Double, shrink: Double, weight: Double, epsilon: Double, threshold: Double
  ) {
    self.rate = rate
    self.shrink = shrink
    self.weight = weight
    self.epsilon = epsilon
    self.threshold = threshold
  }
}

/// Adafactor of matrices [batch, rows, columns]: moves the means of squares r [batch, rows] over
/// columns and c [batch, columns] over rows, and takes `V = r c / max(mean r, epsilon)`, at least
/// `epsilon^2`, for that of each element. The update is `u = g / sqrt(V)`, and
/// `p = shrink p - rate u / max(1, rms(u) / threshold)`.
public func adafactor(
  _ step: AdafactorStep, _ parameter: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
  rowSquares: UnsafeMutablePointer<Float>, columnSquares: UnsafeMutablePointer<Float>,
  batch: Int, rows: Int, columns: Int
) {
  parallelFor(batch * rows, grain: max(1, elementGrain / columns)) { range in
    for row in range {
      let mean = sumOfSquares(gradient + row * columns, columns) / Double(columns)
      step.move(&rowSquares[row], toward: mean)
    }
  }
  let blocks = (columns + 7) / 8
  parallelFor(batch * blocks, grain: max(1, elementGrain / (8 * rows))) { range in
    for unit in range {
      let (matrix, first) = (unit / blocks, unit % blocks * 8)
      let width = min(8, columns - first)
      let sums = columnSums(gradient + matrix * rows * columns + first, rows, columns, width)
      for j in 0..<width {
        step.move(&columnSquares[matrix * columns + first + j], toward: sums[j] / Double(rows))
      }
    }
  }
  withUnsafeTemporaryAllocation(of: Double.self, capacity: batch * rows) { scales in
    let scales = scales.baseAddress!
    parallelFor(batch, grain: max(1, elementGrain / rows)) { range in
      for matrix in range {
        let squares = rowSquares + matrix * rows
        var sum = 0.0
        for row in 0..<rows { sum += Double(squares[row]) }
        let mean = max(sum / Double(rows), step.epsilon)
        for row in 0..<rows { scales[matrix * rows + row] = Double(squares[row]) / mean }
      }
    }
    step.write(
      parameter, gradient, scales: scales, squares: columnSquares, batch: batch, rows: rows,
      columns: columns)
  }
}

/// Adafactor of vectors, whose elements each have a mean of squares of their own.
public func adafactor(
  _ step: AdafactorStep, _ parameter: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
  squares: UnsafeMutablePointer<Float>, count: Int
) {
  for i in 0..<count {
    step.move(&squares[i], toward: Double(gradient[i]) * Double(gradient[i]))
  }
  var scale = 1.0
  step.write(
    parameter, gradient, scales: &scale, squares: squares, batch: 1, rows: 1, columns: count)
}

extension AdafactorStep {
  /// Squares beyond float32 count as its largest number, so that their ratios are numbers.
  @inline(__always)
  fileprivate func move(_ square: inout Float, toward new: Double) {
    let next = Double(square) + weight * (new - Double(square))
    square = Float(min(next, Double(Float.greatestFiniteMagnitude)))
  }

  fileprivate func write(
    _ parameter: UnsafeMutablePointer<Float>, _ gradient: UnsafePointer<Float>,
    scales: UnsafePointer<Double>, squares: UnsafePointer<Float>, batch: Int, rows: Int,
    columns: Int
  ) {
    let least = epsilon * epsilon
    let grain = max(1, elementGrain / columns)
    let total = chunkedSum(batch * rows, grain: grain) { range in
      var sum = 0.0
      for row in range {
        sum += sumOfRatios(
          gradient + row * columns, squares + row / rows * columns, scales[row], least, columns)
      }
      return sum
    }
    let size = (total / (Double(batch * rows) * Double(columns))).squareRoot()
    let (rate, shrink) = (self.rate / max(1, size / threshold), self.shrink)
    parallelFor(batch * rows, grain: grain) { range in
      for row in range {
        let (p, g) = (parameter + row * columns, gradient + row * columns)
        let (c, scale) = (squares + row / rows * columns, scales[row])
        for j in 0..<columns {
          let estimate = max(scale * Double(c[j]), least)
          p[j] = Float(shrink * Double(p[j]) - rate * Double(g[j]) / estimate.squareRoot())
        }
      }
    }
  }
}

@inline(__always)
private func load(_ pointer: UnsafePointer<Float>) -> SIMD8<Double> {
  SIMD8<Double>(UnsafeRawPointer(pointer).loadUnaligned(as: SIMD8<Float>.self))
}

private func sumOfSquares(_ values: UnsafePointer<Float>, _ count: Int) -> Double {
  var sums = SIMD8<Double>()
  var i = 0
  while i + 8 <= count {
    let x = load(values + i)
    sums += x * x
    i += 8
  }
  var sum = sums.sum()
  while i < count {
    sum += Double(values[i]) * Double(values[i])
    i += 1
  }
  return sum
}

/// Sums of squares over the rows of at most eight columns.
private func columnSums(
  _ values: UnsafePointer<Float>, _ rows: Int, _ stride: Int, _ width: Int
) -> SIMD8<Double> {
  var sums = SIMD8<Double>()
  for row in 0..<rows {
    let source = values + row * stride
    var x = SIMD8<Double>()
    if width == 8 {
      x = load(source)
    } else {
      for j in 0..<width { x[j] = Double(source[j]) }
    }
    sums += x * x
  }
  return sums
}

/// The sum of `g^2 / max(scale c, least)`.
private func sumOfRatios(
  _ g: UnsafePointer<Float>, _ c: UnsafePointer<Float>, _ scale: Double, _ least: Double,
  _ count: Int
) -> Double {
  var sums = SIMD8<Double>()
  let floor = SIMD8<Double>(repeating: least)
  var j = 0
  while j + 8 <= count {
    let x = load(g + j)
    sums += x * x / pointwiseMax(load(c + j) * scale, floor)
    j += 8
  }
  var sum = sums.sum()
  while j < count {
    sum += Double(g[j]) * Double(g[j]) / max(scale * Double(c[j]), least)
    j += 1
  }
  return sum
}
