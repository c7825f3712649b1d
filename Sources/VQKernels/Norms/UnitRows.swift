/// One Float64 per row.
public final class RowNorms {
  public let values: UnsafeMutablePointer<Double>

  public init(count: Int) { values = .allocate(capacity: max(count, 1)) }

  deinit { values.deallocate() }
}

/// `out[i] = x[i] / |x[i]|` for `n` rows of width `d`; a zero row stays zero. `norms` receives
/// |x[i]|. Norms are taken in Float64, so that no finite row overflows or vanishes.
public func unitRows(
  _ x: UnsafePointer<Float>, count n: Int, width d: Int, _ out: UnsafeMutablePointer<Float>,
  norms: UnsafeMutablePointer<Double>
) {
  let underflow = GradualUnderflow()
  defer { underflow.end() }
  parallelFor(n, grain: rowGrain(d)) { range in
    for row in range {
      let source = x + row * d
      let target = out + row * d
      let norm = dotProduct(source, source, width: d).squareRoot()
      norms[row] = norm
      let factor = norm > 0 ? 1 / norm : 0
      for i in 0..<d { target[i] = Float(Double(source[i]) * factor) }
    }
  }
}

/// The pullback of `unitRows` at its output `y`: `(g - (g . y) y) / max(|x|, 1e-6)`, and 0 for a
/// zero row.
public func unitRowsPullback(
  _ gradient: UnsafePointer<Float>, _ y: UnsafePointer<Float>, norms: UnsafePointer<Double>,
  count n: Int, width d: Int, _ out: UnsafeMutablePointer<Float>
) {
  parallelFor(n, grain: rowGrain(d)) { range in
    for row in range {
      let g = gradient + row * d
      let unit = y + row * d
      let target = out + row * d
      let along = dotProduct(g, unit, width: d)
      let factor = norms[row] > 0 ? 1 / max(norms[row], leastLength) : 0
      for i in 0..<d { target[i] = Float((Double(g[i]) - along * Double(unit[i])) * factor) }
    }
  }
}

/// `sum a[i] b[i]` in Float64, eight partial sums.
@inline(__always)
func dotProduct(
  _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, width: Int
) -> Double {
  var sums = SIMD8<Double>()
  var i = 0
  while i + 8 <= width {
    let left = UnsafeRawPointer(a + i).loadUnaligned(as: SIMD8<Float>.self)
    let right = UnsafeRawPointer(b + i).loadUnaligned(as: SIMD8<Float>.self)
    sums += SIMD8<Double>(left) * SIMD8<Double>(right)
    i += 8
  }
  var rest = 0.0
  while i < width {
    rest += Double(a[i]) * Double(b[i])
    i += 1
  }
  return sums.sum() + rest
}
