/// The least length that a vector is divided by: as in the code of Fifty et al. and of
/// vector-quantize-pytorch, which divide by `max(|x|, 1e-6)`.
let leastLength = 1e-6

/// The gradient that `rotated` gives to e = z[i] where q = zq[i]:
/// `|q| / |e| (g - 2 w (w . g) + 2 e^ (q^ . g))`, w = unit(e^ + q^), lengths that divide at least
/// 1e-6; g where e or q is zero or `e^ + q^` is, up to the rounding of Float64.
public func rotationPullback(
  _ gradient: UnsafePointer<Float>, _ z: UnsafePointer<Float>, _ zq: UnsafePointer<Float>,
  count n: Int, width d: Int, _ out: UnsafeMutablePointer<Float>
) {
  parallelFor(n, grain: rowGrain(d)) { range in
    for row in range {
      let start = row * d
      rotateBack(gradient + start, z + start, zq + start, out + start, d)
    }
  }
}

private func rotateBack(
  _ g: UnsafePointer<Float>, _ e: UnsafePointer<Float>, _ q: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>, _ d: Int
) {
  let eLength = dotProduct(e, e, width: d).squareRoot()
  let qLength = dotProduct(q, q, width: d).squareRoot()
  guard eLength > 0, qLength > 0 else { return out.update(from: g, count: d) }
  let (eFactor, qFactor) = (1 / max(eLength, leastLength), 1 / max(qLength, leastLength))
  var squares = 0.0
  for i in 0..<d {
    let sum = Double(e[i]) * eFactor + Double(q[i]) * qFactor
    squares += sum * sum
  }
  guard squares > 1e-24 else { return out.update(from: g, count: d) }
  let along = (e: dotProduct(e, g, width: d) * eFactor, q: dotProduct(q, g, width: d) * qFactor)
  let scale = qLength * eFactor
  let reflected = 2 * (along.e + along.q) / squares
  // out = scale (g - reflected (e^ + q^) + 2 (q^ . g) e^).
  let eShare = (2 * along.q - reflected) * eFactor
  let qShare = -reflected * qFactor
  for i in 0..<d {
    out[i] = Float(scale * (Double(g[i]) + eShare * Double(e[i]) + qShare * Double(q[i])))
  }
}
