/// 2^bits values from -bound to bound, `cells` steps between them.
public struct QuantizationGrid {
  let bound: Double
  let cells: Double
  let spacing: Double

  public init(bound: Double, cells: Int) {
    self.bound = bound
    self.cells = Double(cells)
    spacing = 2 * bound / Double(cells)
  }

  /// The weight in steps from -bound, within the grid. Float64: a boundary is met exactly.
  @inline(__always)
  fileprivate func position(_ w: Float) -> Double {
    let w = Double(w)
    return ((w < -bound ? -bound : (w > bound ? bound : w)) + bound) / spacing
  }

  /// Steps from the boundary of the weight's cell, in -1/2...1/2.
  @inline(__always)
  fileprivate func offset(_ w: Float) -> Float {
    let position = position(w)
    let below = nearest(position - 0.5)
    let cell = below < 0 ? 0 : (below > cells - 1 ? cells - 1 : below)
    return Float(position - (cell + 0.5))
  }

  @inline(__always)
  fileprivate func holds(_ w: Float) -> Bool { abs(Double(w)) <= bound }
}

/// The nearest integer, the even one on equality, for magnitudes below 2^51.
@inline(__always)
private func nearest(_ x: Double) -> Double { (x + 0x1.8p52) - 0x1.8p52 }

/// `out[i]` = the value of the grid nearest to `w[i]`.
public func quantizeWeights(
  _ grid: QuantizationGrid, _ w: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>,
  count: Int
) {
  parallelFor(count, grain: elementGrain) { range in
    for i in range {
      out[i] = Float(nearest(grid.position(w[i])) * grid.spacing - grid.bound)
    }
  }
}

/// `sum (Q(w[i]) - w[i])^2` in Float64, by fixed chunks.
public func squaredError(
  _ grid: QuantizationGrid, _ w: UnsafePointer<Float>, count: Int
) -> Double {
  chunkedSum(count, grain: elementGrain) { range in
    var sum = 0.0
    for i in range {
      let error = nearest(grid.position(w[i])) * grid.spacing - grid.bound - Double(w[i])
      sum += error * error
    }
    return sum
  }
}

/// `out[i]` = the number of that value, counted from -bound; -1 for NaN.
public func weightCodes(
  _ grid: QuantizationGrid, _ w: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Int32>,
  count: Int
) {
  let underflow = GradualUnderflow()
  defer { underflow.end() }
  parallelFor(count, grain: elementGrain) { range in
    for i in range {
      let step = nearest(grid.position(w[i]))
      out[i] = step == step ? Int32(step) : -1
    }
  }
}

/// The form of h(w), the factor on the gradient.
public enum EstimatorShape {
  case one
  /// 1 on the grid, 0 beyond it.
  case clipped
  /// factor sech^2(sharpness * s), s the offset in its cell; 0 beyond the grid.
  case cellSech(sharpness: Float, factor: Float)
  /// 1 + amplitude cos(2 pi s); 0 beyond the grid.
  case cellCosine(amplitude: Float)
  /// Linear between equally spaced samples of a cell or of the grid; 0 beyond the grid.
  case samples([Float], overGrid: Bool)
  /// factor sech^2(sharpness * w).
  case sech(sharpness: Float, factor: Float)
  /// 1 / (1 + w^2).
  case arctan
  /// max(0, 2 - 2 |w|).
  case approxSign
  /// factor max(|w|, cap)^exponent.
  case power(exponent: Float, cap: Float, factor: Float)
  /// 1 on the grid, bound / |w| beyond it.
  case mad
  /// 1 + 2 strength sign(g) (w - Q(w)) / D; 0 beyond the grid.
  case errorWise(strength: Float)
}

/// `out[i] = scale h(w[i]) g[i]`.
public func estimateGradient(
  _ shape: EstimatorShape, _ grid: QuantizationGrid, scale: Float, _ w: UnsafePointer<Float>,
  _ g: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, count: Int
) {
  @inline(__always) func map(_ h: (_ w: Float, _ g: Float) -> Float) {
    parallelFor(count, grain: elementGrain) { range in
      for i in range { out[i] = scale * h(w[i], g[i]) * g[i] }
    }
  }
  switch shape {
  case .one: map { _, _ in 1 }
  case .clipped: map { w, _ in grid.holds(w) ? 1 : 0 }
  case .cellSech(let sharpness, let factor):
    map { w, _ in grid.holds(w) ? factor * squaredSech(sharpness * grid.offset(w)) : 0 }
  case .cellCosine(let amplitude):
    map { w, _ in
      // 2^32 turns of a cell; the offset 1/2 is that of -1/2.
      guard grid.holds(w) else { return 0 }
      let turns = UInt32(truncatingIfNeeded: Int64(grid.offset(w) * 0x1p32))
      return 1 + amplitude * sineCosine(turns: turns).cosine
    }
  case .samples(let h, let overGrid):
    h.withUnsafeBufferPointer { h in
      let last = Float(h.count - 1)
      map { w, _ in
        guard grid.holds(w) else { return 0 }
        let place = overGrid ? Float(grid.position(w) / grid.cells) : grid.offset(w) + 0.5
        let position = place * last
        let left = position < last - 1 ? position.rounded(.down) : last - 1
        let (a, b) = (h[Int(left)], h[Int(left) + 1])
        return a + (position - left) * (b - a)
      }
    }
  case .sech(let sharpness, let factor): map { w, _ in factor * squaredSech(sharpness * w) }
  case .arctan: map { w, _ in 1 / (1 + w * w) }
  case .approxSign: map { w, _ in max(0, 2 - 2 * abs(w)) }
  case .power(let exponent, let cap, let factor):
    map { w, _ in factor * exponential(exponent * logarithm(max(abs(w), cap))) }
  case .mad: map { w, _ in grid.holds(w) ? 1 : Float(grid.bound) / abs(w) }
  case .errorWise(let strength):
    map { w, g in
      let position = grid.position(w)
      let error = Float(position - nearest(position))
      let signed = g > 0 ? error : (g < 0 ? -error : 0)
      return grid.holds(w) ? 1 + 2 * strength * signed : 0
    }
  }
}

/// 1 / cosh(x)^2 in both tails.
@inline(__always)
private func squaredSech(_ x: Float) -> Float {
  let e = exponential(-2 * abs(x))
  return 4 * e / ((1 + e) * (1 + e))
}
