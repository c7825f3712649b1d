/// Rows of vectors that move towards their codes in a noisy direction: y = z + |zq - z| unit(v)
/// with `v = zq - z + deviation n`, n the standard normal numbers of `state` by position.
public struct DirectionalRows {
  let z, zq: UnsafePointer<Float>  // [n, d]
  let count, width: Int
  let deviation: Double
  let state: RandomState

  public init(
    _ z: UnsafePointer<Float>, _ zq: UnsafePointer<Float>, count: Int, width: Int,
    deviation: Double, state: RandomState
  ) {
    (self.z, self.zq, self.count, self.width) = (z, zq, count, width)
    (self.deviation, self.state) = (deviation, state)
  }

  /// Writes y [n, d]. A row of distance zero is z.
  public func forward(_ out: UnsafeMutablePointer<Float>) {
    forEachRow { start, noise in
      moveRow(z + start, zq + start, noise, deviation, out + start, width)
    }
  }

  /// With u = unit(zq - z) and a = g . unit(v), detached: `dz = g - a u`, `dzq = a u`; g and 0 for
  /// a row of distance zero.
  public func pullback(
    _ gradient: UnsafePointer<Float>, z zGradient: UnsafeMutablePointer<Float>,
    zq zqGradient: UnsafeMutablePointer<Float>
  ) {
    forEachRow { start, noise in
      moveRowPullback(
        gradient + start, z + start, zq + start, noise, deviation, zGradient + start,
        zqGradient + start, width)
    }
  }

  /// Calls `body` with the first element of every row and the row's noise.
  private func forEachRow(_ body: (_ start: Int, _ noise: UnsafePointer<Float>) -> Void) {
    // Chunks of four rows begin with a block of the generator.
    let grain = (rowGrain(width) + 3) / 4 * 4
    parallelFor(count, grain: grain) { range in
      let first = range.lowerBound * width
      withUnsafeTemporaryAllocation(of: Float.self, capacity: range.count * width) { noise in
        let noise = noise.baseAddress!
        normalRun(state, firstBlock: first / 4, noise, count: range.count * width)
        for row in range { body(row * width, noise + (row * width - first)) }
      }
    }
  }
}

/// `|q - z|^2` and `|q - z + deviation noise|^2`.
private func squaredLengths(
  _ z: UnsafePointer<Float>, _ q: UnsafePointer<Float>, _ noise: UnsafePointer<Float>,
  _ deviation: Double, _ d: Int
) -> (distance: Double, direction: Double) {
  var (distance, direction) = (0.0, 0.0)
  for i in 0..<d {
    let difference = Double(q[i]) - Double(z[i])
    let moved = difference + deviation * Double(noise[i])
    distance += difference * difference
    direction += moved * moved
  }
  return (distance, direction)
}

private func moveRow(
  _ z: UnsafePointer<Float>, _ q: UnsafePointer<Float>, _ noise: UnsafePointer<Float>,
  _ deviation: Double, _ out: UnsafeMutablePointer<Float>, _ d: Int
) {
  let (distance, direction) = squaredLengths(z, q, noise, deviation, d)
  guard distance > 0, direction > 0 else { return out.update(from: z, count: d) }
  let factor = (distance / direction).squareRoot()
  for i in 0..<d {
    let moved = Double(q[i]) - Double(z[i]) + deviation * Double(noise[i])
    out[i] = Float(Double(z[i]) + factor * moved)
  }
}

private func moveRowPullback(
  _ g: UnsafePointer<Float>, _ z: UnsafePointer<Float>, _ q: UnsafePointer<Float>,
  _ noise: UnsafePointer<Float>, _ deviation: Double, _ dz: UnsafeMutablePointer<Float>,
  _ dq: UnsafeMutablePointer<Float>, _ d: Int
) {
  let (distance, direction) = squaredLengths(z, q, noise, deviation, d)
  var along = 0.0
  for i in 0..<d {
    let moved = Double(q[i]) - Double(z[i]) + deviation * Double(noise[i])
    along += Double(g[i]) * moved
  }
  let factor = distance > 0 && direction > 0 ? along / (distance * direction).squareRoot() : 0
  for i in 0..<d {
    let share = factor * (Double(q[i]) - Double(z[i]))
    dz[i] = Float(Double(g[i]) - share)
    dq[i] = Float(share)
  }
}
