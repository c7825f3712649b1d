import Glibc

/// `(sum over i of |x[i]|^p)^(1 / p)` of each row of `x` [rows, columns], in Float64; the largest
/// |x[i]| for an infinite p.
///
/// - Parameter p: above 0.
public func rowPNorms(
  _ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, rows: Int, columns: Int,
  p: Double
) {
  parallelFor(rows, grain: max(1, elementGrain / max(columns, 1))) { range in
    for row in range {
      out[row] = Float(pNorm(x + row * columns, columns, p))
    }
  }
}

private func pNorm(_ x: UnsafePointer<Float>, _ count: Int, _ p: Double) -> Double {
  var sum = 0.0
  if p == 1 {
    for i in 0..<count { sum += Double(abs(x[i])) }
    return sum
  }
  if p == 2 {
    for i in 0..<count { sum += Double(x[i]) * Double(x[i]) }
    return sum.squareRoot()
  }
  var largest: Float = 0
  for i in 0..<count { largest = abs(x[i]) > largest || x[i] != x[i] ? abs(x[i]) : largest }
  if p == .infinity || largest == 0 || !largest.isFinite { return Double(largest) }
  // Of shares of the largest, since a power of a float32 may exceed Float64.
  let scale = Double(largest)
  for i in 0..<count { sum += pow(Double(abs(x[i])) / scale, p) }
  return scale * pow(sum, 1 / p)
}

/// The gradient of `rowPNorms`: `g sign(x) (|x| / norm)^(p - 1)`, 0 where x or the norm is 0; for
/// an infinite p shared evenly by the largest.
public func rowPNormsGradient(
  _ x: UnsafePointer<Float>, norms: UnsafePointer<Float>, _ g: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>, rows: Int, columns: Int, p: Double
) {
  parallelFor(rows, grain: max(1, elementGrain / max(columns, 1))) { range in
    for row in range {
      let (source, target) = (x + row * columns, out + row * columns)
      let (norm, slope) = (Double(norms[row]), Double(g[row]))
      var share = slope
      if p == .infinity {
        var most = 0
        for i in 0..<columns where abs(source[i]) == norms[row] { most += 1 }
        share /= Double(most)
      }
      for i in 0..<columns {
        let size = Double(abs(source[i]))
        let magnitude: Double
        if size == 0 {
          magnitude = 0
        } else if p == .infinity {
          magnitude = size == norm ? share : 0
        } else if p == 1 {
          magnitude = slope
        } else {
          magnitude = slope * (p == 2 ? size / norm : pow(size / norm, p - 1))
        }
        target[i] = Float(source[i] < 0 ? -magnitude : magnitude)
      }
    }
  }
}
