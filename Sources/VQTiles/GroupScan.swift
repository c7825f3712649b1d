/// Codes of a tile that is multiplied with single points: two vectors.
public var groupTileCodes: Int { 2 * Lanes.scalarCount }

// Here the two vectors are codes of a tile, and what they are multiplied by is a point's.
extension CodeSums {
  @inline(__always)
  fileprivate init(_ starts: UnsafePointer<Float>) {
    self.init(0)
    low = starts.vector(Lanes.self)
    high = (starts + Lanes.scalarCount).vector(Lanes.self)
  }

  @inline(__always)
  fileprivate var largest: Float { largestLane(larger(low, high)) }
}

/// The largest score `X . E + start` of a tile of codes for each of some points, six at a time.
///
/// - Parameters:
///   - points: X, [_, d].
///   - rows: [count], which of the points.
///   - tile: E, [d, groupTileCodes].
///   - starts: [groupTileCodes].
///   - maxima: out, that of a row at `rows[i] * stride`.
public func scanGroupTile(
  _ points: UnsafePointer<Float>, _ rows: UnsafePointer<Int32>, count: Int,
  _ tile: UnsafePointer<Float>, _ starts: UnsafePointer<Float>, width d: Int,
  _ maxima: UnsafeMutablePointer<Float>, stride: Int
) {
  let lanes = Lanes.scalarCount
  var first = 0
  while first < count {
    let last = count - 1
    @inline(__always)
    func row(_ i: Int) -> Int { Int(rows[min(first + i, last)]) }
    let (r0, r1, r2, r3, r4, r5) = (row(0), row(1), row(2), row(3), row(4), row(5))
    let (p0, p1, p2) = (points + r0 * d, points + r1 * d, points + r2 * d)
    let (p3, p4, p5) = (points + r3 * d, points + r4 * d, points + r5 * d)
    var (a, b, c) = (CodeSums(starts), CodeSums(starts), CodeSums(starts))
    var (e, f, g) = (CodeSums(starts), CodeSums(starts), CodeSums(starts))
    var code = tile
    for i in 0..<d {
      let (low, high) = (code.vector(Lanes.self), (code + lanes).vector(Lanes.self))
      a.add(low, high, times: p0[i])
      b.add(low, high, times: p1[i])
      c.add(low, high, times: p2[i])
      e.add(low, high, times: p3[i])
      f.add(low, high, times: p4[i])
      g.add(low, high, times: p5[i])
      code += groupTileCodes
    }
    maxima[r0 * stride] = a.largest
    maxima[r1 * stride] = b.largest
    maxima[r2 * stride] = c.largest
    maxima[r3 * stride] = e.largest
    maxima[r4 * stride] = f.largest
    maxima[r5 * stride] = g.largest
    first += 6
  }
}

/// `out[j]` = the score of code j of a tile for one point, [groupTileCodes].
public func scoreGroupTile(
  _ x: UnsafePointer<Float>, _ tile: UnsafePointer<Float>, _ starts: UnsafePointer<Float>,
  width d: Int, _ out: UnsafeMutablePointer<Float>
) {
  let lanes = Lanes.scalarCount
  var (a, b, c, e) = (CodeSums(starts), CodeSums(0), CodeSums(0), CodeSums(0))
  var code = tile
  @inline(__always)
  func add(_ sums: inout CodeSums, _ i: Int) {
    sums.add(code.vector(Lanes.self), (code + lanes).vector(Lanes.self), times: x[i])
    code += groupTileCodes
  }
  var i = 0
  while i + 4 <= d {
    add(&a, i)
    add(&b, i + 1)
    add(&c, i + 2)
    add(&e, i + 3)
    i += 4
  }
  while i < d {
    add(&a, i)
    i += 1
  }
  out.store((a.low + b.low) + (c.low + e.low))
  (out + lanes).store((a.high + b.high) + (c.high + e.high))
}
