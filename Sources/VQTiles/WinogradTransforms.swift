import CPlatform

/// Products of a tile of F(4x4, 3x3): six points a side, 0, a, -a, b, -b and infinity. With a = 3/4
/// and b = 3/2 the transforms round four times less than with the 1 and 2 of Lavin and Gray (2016).
private var a1: Float { 0.75 }
private var b1: Float { 1.5 }
private var a2: Float { a1 * a1 }
private var b2: Float { b1 * b1 }
private var a3: Float { a1 * a2 }
private var b3: Float { b1 * b2 }
// One over the products of a point's differences to the others.
private var zeroShare: Float { 1 / (a2 * b2) }
private var aShare: Float { 1 / (2 * a2 * (a2 - b2)) }
private var bShare: Float { 1 / (2 * b2 * (b2 - a2)) }

/// `x + y * factor`
@inline(__always)
private func sum(_ x: Lanes, _ y: Lanes, _ factor: Float) -> Lanes {
  var sum = x
  sum.add(y, times: Lanes(repeating: factor))
  return sum
}

/// Six vectors: a row or column of a tile.
private struct Six {
  var a, b, c, d, e, f: Lanes

  @inline(__always)
  init(_ a: Lanes, _ b: Lanes, _ c: Lanes, _ d: Lanes, _ e: Lanes, _ f: Lanes) {
    (self.a, self.b, self.c, self.d, self.e, self.f) = (a, b, c, d, e, f)
  }

  @inline(__always)
  init(_ x: UnsafePointer<Lanes>, stride: Int) {
    (a, b, c) = (x[0], x[stride], x[2 * stride])
    (d, e, f) = (x[3 * stride], x[4 * stride], x[5 * stride])
  }

  @inline(__always)
  func store(_ out: UnsafeMutablePointer<Lanes>, stride: Int) {
    (out[0], out[stride], out[2 * stride]) = (a, b, c)
    (out[3 * stride], out[4 * stride], out[5 * stride]) = (d, e, f)
  }

  @inline(__always)
  func store(_ out: UnsafeMutablePointer<Float>, stride: Int) {
    out.store(a)
    (out + stride).store(b)
    (out + 2 * stride).store(c)
    (out + 3 * stride).store(d)
    (out + 4 * stride).store(e)
    (out + 5 * stride).store(f)
  }

  /// B^T x: six values of an input to its points.
  @inline(__always)
  var patch: Six {
    let (p, q) = (sum(e, c, -b2), sum(d, b, -b2) * a1)
    let (r, s) = (sum(e, c, -a2), sum(d, b, -a2) * b1)
    let (first, last) = (sum(sum(e, c, -a2 - b2), a, a2 * b2), sum(sum(f, d, -a2 - b2), b, a2 * b2))
    return Six(first, p + q, p - q, r + s, r - s, last)
  }

  /// A^T x: points to four values of an output.
  @inline(__always)
  var outputs: (Lanes, Lanes, Lanes, Lanes) {
    let (p, q, r, s) = (b + c, b - c, d + e, d - e)
    return (a + p + r, sum(q * a1, s, b1), sum(p * a2, r, b2), sum(sum(f, q, a3), s, b3))
  }

  /// A x: four values of an output's gradient to points.
  @inline(__always)
  static func gradient(_ y0: Lanes, _ y1: Lanes, _ y2: Lanes, _ y3: Lanes) -> Six {
    let (p, q) = (sum(y0, y2, a2), sum(y1 * a1, y3, a3))
    let (r, s) = (sum(y0, y2, b2), sum(y1 * b1, y3, b3))
    return Six(y0, p + q, p - q, r + s, r - s, y3)
  }

  /// G x: three weights to points.
  @inline(__always)
  static func weights(_ g0: Lanes, _ g1: Lanes, _ g2: Lanes) -> Six {
    let (p, q) = (sum(g0, g2, a2) * aShare, g1 * (a1 * aShare))
    let (r, s) = (sum(g0, g2, b2) * bShare, g1 * (b1 * bShare))
    return Six(g0 * zeroShare, p + q, p - q, r + s, r - s, g2)
  }

  /// G^T x: points to the gradients of three weights.
  @inline(__always)
  var weightGradients: (Lanes, Lanes, Lanes) {
    let (p, q, r, s) = (b + c, b - c, d + e, d - e)
    return (
      sum(sum(a * zeroShare, p, aShare), r, bShare), sum(q * (a1 * aShare), s, b1 * bShare),
      sum(sum(f, p, a2 * aShare), r, b2 * bShare)
    )
  }
}

/// Tiles between the one that is transformed and the one that is fetched.
private var ahead: Int { 3 }

/// `out[p, t, :] = (B^T x B)[p]` for the 6x6 patches x of `count` tiles.
///
/// - Parameters:
///   - sources: rows of `channels` of each patch, [count, 36].
///   - out: [36, _, channels], points `pointStride` apart.
public func transformPatches(
  _ sources: UnsafePointer<UnsafePointer<Float>>, count: Int, channels: Int,
  _ out: UnsafeMutablePointer<Float>, pointStride: Int
) {
  withUnsafeTemporaryAllocation(of: Lanes.self, capacity: 36) { scratch in
    let columns = scratch.baseAddress!
    for tile in 0..<count {
      let source = sources + tile * 36
      let next = sources + min(tile + ahead, count - 1) * 36
      for channel in stride(from: 0, to: channels, by: Lanes.scalarCount) {
        for row in 0..<36 { vq_prefetch(next[row] + channel) }
        for j in 0..<6 {
          Six(
            (source[j] + channel).vector(Lanes.self), (source[6 + j] + channel).vector(Lanes.self),
            (source[12 + j] + channel).vector(Lanes.self),
            (source[18 + j] + channel).vector(Lanes.self),
            (source[24 + j] + channel).vector(Lanes.self),
            (source[30 + j] + channel).vector(Lanes.self)
          ).patch.store(columns + j, stride: 6)
        }
        let target = out + tile * channels + channel
        for i in 0..<6 {
          Six(columns + 6 * i, stride: 1).patch.store(
            target + 6 * i * pointStride, stride: pointStride)
        }
      }
    }
  }
}

/// `out[p, t, :] = (A y A^T)[p]` for the 4x4 gradients y of `count` tiles.
///
/// - Parameters:
///   - sources: rows of `channels` of each tile, [count, 16].
///   - out: [36, _, channels], points `pointStride` apart.
public func transformGradients(
  _ sources: UnsafePointer<UnsafePointer<Float>>, count: Int, channels: Int,
  _ out: UnsafeMutablePointer<Float>, pointStride: Int
) {
  withUnsafeTemporaryAllocation(of: Lanes.self, capacity: 24) { scratch in
    let columns = scratch.baseAddress!
    for tile in 0..<count {
      let source = sources + tile * 16
      for channel in stride(from: 0, to: channels, by: Lanes.scalarCount) {
        for j in 0..<4 {
          Six.gradient(
            (source[j] + channel).vector(Lanes.self), (source[4 + j] + channel).vector(Lanes.self),
            (source[8 + j] + channel).vector(Lanes.self),
            (source[12 + j] + channel).vector(Lanes.self)
          ).store(columns + j, stride: 4)
        }
        let target = out + tile * channels + channel
        for i in 0..<6 {
          let row = columns + 4 * i
          Six.gradient(row[0], row[1], row[2], row[3])
            .store(target + 6 * i * pointStride, stride: pointStride)
        }
      }
    }
  }
}

/// `targets[t] = A^T m A + bias`: the 4x4 outputs of `count` tiles from their points.
///
/// - Parameters:
///   - points: m, [36, _, channels], points `pointStride` apart.
///   - bias: [channels].
///   - targets: rows of `channels` of each tile, [count, 16].
public func transformOutputs(
  _ points: UnsafePointer<Float>, pointStride: Int, count: Int, channels: Int,
  bias: UnsafePointer<Float>, _ targets: UnsafePointer<UnsafeMutablePointer<Float>>
) {
  withUnsafeTemporaryAllocation(of: Lanes.self, capacity: 24) { scratch in
    let columns = scratch.baseAddress!
    for tile in 0..<count {
      let target = targets + tile * 16
      for channel in stride(from: 0, to: channels, by: Lanes.scalarCount) {
        let source = points + tile * channels + channel
        for j in 0..<6 {
          let column = source + j * pointStride
          (columns[j], columns[6 + j], columns[12 + j], columns[18 + j]) =
            Six(
              column.vector(Lanes.self), (column + 6 * pointStride).vector(Lanes.self),
              (column + 12 * pointStride).vector(Lanes.self),
              (column + 18 * pointStride).vector(Lanes.self),
              (column + 24 * pointStride).vector(Lanes.self),
              (column + 30 * pointStride).vector(Lanes.self)
            ).outputs
        }
        let shift = (bias + channel).vector(Lanes.self)
        for i in 0..<4 {
          let row = target + 4 * i
          let (y0, y1, y2, y3) = Six(columns + 6 * i, stride: 1).outputs
          (row[0] + channel).store(y0 + shift)
          (row[1] + channel).store(y1 + shift)
          (row[2] + channel).store(y2 + shift)
          (row[3] + channel).store(y3 + shift)
        }
      }
    }
  }
}

/// `out[p, i] = (G w G^T)[p]` of `count` filters of 3x3 taps: `taps` [9, count], `out` [36, count].
public func transformWeights(
  _ taps: UnsafePointer<Float>, count: Int, from start: Int, to end: Int,
  _ out: UnsafeMutablePointer<Float>
) {
  withUnsafeTemporaryAllocation(of: Lanes.self, capacity: 18) { scratch in
    let columns = scratch.baseAddress!
    for filter in stride(from: start, to: end, by: Lanes.scalarCount) {
      for j in 0..<3 {
        let tap = taps + j * count + filter
        Six.weights(
          tap.vector(Lanes.self), (tap + 3 * count).vector(Lanes.self),
          (tap + 6 * count).vector(Lanes.self)
        ).store(columns + j, stride: 3)
      }
      for i in 0..<6 {
        Six.weights(columns[3 * i], columns[3 * i + 1], columns[3 * i + 2])
          .store(out + 6 * i * count + filter, stride: count)
      }
    }
  }
}

/// `out[tap, i] = (G^T s G)[tap]`, the gradients of `count` filters: `points` [36, count], `out`
/// [9, count].
public func transformWeightGradients(
  _ points: UnsafePointer<Float>, count: Int, from start: Int, to end: Int,
  _ out: UnsafeMutablePointer<Float>
) {
  withUnsafeTemporaryAllocation(of: Lanes.self, capacity: 18) { scratch in
    let columns = scratch.baseAddress!
    for filter in stride(from: start, to: end, by: Lanes.scalarCount) {
      for j in 0..<6 {
        let point = points + j * count + filter
        (columns[j], columns[6 + j], columns[12 + j]) =
          Six(
            point.vector(Lanes.self), (point + 6 * count).vector(Lanes.self),
            (point + 12 * count).vector(Lanes.self), (point + 18 * count).vector(Lanes.self),
            (point + 24 * count).vector(Lanes.self), (point + 30 * count).vector(Lanes.self)
          ).weightGradients
      }
      for i in 0..<3 {
        let (g0, g1, g2) = Six(columns + 6 * i, stride: 1).weightGradients
        let target = out + 3 * i * count + filter
        target.store(g0)
        (target + count).store(g1)
        (target + 2 * count).store(g2)
      }
    }
  }
}
