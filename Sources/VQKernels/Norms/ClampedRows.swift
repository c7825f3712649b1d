/// `out[i] = x[i] min(1, maximum / |x[i]|)` for `n` rows of width `d`; a row within the maximum is
/// copied bit for bit. `norms` receives |x[i]|, taken in Float64.
public func clampedRows(
  _ x: UnsafePointer<Float>, count n: Int, width d: Int, maximum: Double,
  _ out: UnsafeMutablePointer<Float>, norms: UnsafeMutablePointer<Double>
) {
  parallelFor(n, grain: rowGrain(d)) { range in
    for row in range {
      let source = x + row * d
      let norm = dotProduct(source, source, width: d).squareRoot()
      norms[row] = norm
      if norm > maximum {
        scaleRow(source, maximum / norm, out + row * d, width: d)
      } else {
        (out + row * d).update(from: source, count: d)
      }
    }
  }
}

/// The pullback of `clampedRows` at its output `y`: `maximum / |x| (g - (g . y) y / maximum^2)` for
/// a row that was scaled, else g.
public func clampedRowsPullback(
  _ gradient: UnsafePointer<Float>, _ y: UnsafePointer<Float>, norms: UnsafePointer<Double>,
  count n: Int, width d: Int, maximum: Double, _ out: UnsafeMutablePointer<Float>
) {
  parallelFor(n, grain: rowGrain(d)) { range in
    for row in range {
      let g = gradient + row * d
      if norms[row] > maximum {
        let along = dotProduct(g, y + row * d, width: d) / (maximum * maximum)
        scaleRejection(g, y + row * d, along, maximum / norms[row], out + row * d, width: d)
      } else {
        (out + row * d).update(from: g, count: d)
      }
    }
  }
}

private func scaleRow(
  _ x: UnsafePointer<Float>, _ factor: Double, _ out: UnsafeMutablePointer<Float>, width: Int
) {
  for i in 0..<width { out[i] = Float(Double(x[i]) * factor) }
}

/// `out = factor (g - along y)`.
private func scaleRejection(
  _ g: UnsafePointer<Float>, _ y: UnsafePointer<Float>, _ along: Double, _ factor: Double,
  _ out: UnsafeMutablePointer<Float>, width: Int
) {
  for i in 0..<width { out[i] = Float((Double(g[i]) - along * Double(y[i])) * factor) }
}
