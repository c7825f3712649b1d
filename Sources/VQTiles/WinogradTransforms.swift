import CPlatform

// Products of a tile of F(4x4, 3x3) and of F(2x2, 5x5): six points a side, 0, a, -a, b, -b and
// infinity. With a = 3/4 and b = 3/2 the transforms round four times less than with the 1 and 2 of
// Lavin and Gray (2016).
private var a1: Float { 0.75 }
private var b1: Float { 1.5 }
private var a2: Float { a1 * a1 }
private var b2: Float { b1 * b1 }
private var a3: Float { a1 * a2 }
private var b3: Float { b1 * b2 }
private var a4: Float { a2 * a2 }
private var b4: Float { b2 * b2 }
// What G has beyond the values of a polynomial.
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

  /// The values at the points of the polynomial with `count` coefficients, two to five: A x of an
  /// output's gradient, and but for the shares G x of weights.
  @inline(__always)
  init(valuesOf x: UnsafePointer<Lanes>, count: Int, stride: Int) {
    let (x0, x1) = (x[0], x[stride])
    var (p, q, r, s) = (x0, x1 * a1, x0, x1 * b1)
    if count > 2 {
      p.add(x[2 * stride], times: Lanes(repeating: a2))
      r.add(x[2 * stride], times: Lanes(repeating: b2))
    }
    if count > 3 {
      q.add(x[3 * stride], times: Lanes(repeating: a3))
      s.add(x[3 * stride], times: Lanes(repeating: b3))
    }
    if count > 4 {
      p.add(x[4 * stride], times: Lanes(repeating: a4))
      r.add(x[4 * stride], times: Lanes(repeating: b4))
    }
    self.init(x0, p + q, p - q, r + s, r - s, x[(count - 1) * stride])
  }

  /// The transposed of `init(valuesOf:)`: A^T x, points to `count` values of an output, and but for
  /// the shares G^T x.
  @inline(__always)
  func storeSums(_ out: UnsafeMutablePointer<Lanes>, count: Int, stride: Int) {
    let (p, q, r, s) = (b + c, b - c, d + e, d - e)
    out[0] = a + p + r
    out[stride] = sum(q * a1, s, b1)
    if count > 2 { out[2 * stride] = sum(p * a2, r, b2) }
    if count > 3 { out[3 * stride] = sum(q * a3, s, b3) }
    if count > 4 { out[4 * stride] = sum(p * a4, r, b4) }
    out[(count - 1) * stride] += f
  }

  /// Times one over the products of each point's differences to the others.
  @inline(__always)
  var shares: Six {
    Six(a * zeroShare, b * aShare, c * aShare, d * bShare, e * bShare, f)
  }
}

/// Tiles between the one that is transformed and the one that is fetched.
private var ahead: Int { 3 }

/// `out[p, t, :] = (B^T x B)[p]` for the 6x6 patches x of `count` tiles.
///
/// - Parameters:
///   - sources: rows of `channels` of each patch, [count, 36].
///   - out: point p of channel c of tile t at `p pointStride + t tileStride + c channelStride`, c
///     the first of a vector.
public func transformPatches(
  _ sources: UnsafePointer<UnsafePointer<Float>>, count: Int, channels: Int,
  _ out: UnsafeMutablePointer<Float>, pointStride: Int, tileStride: Int, channelStride: Int
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
        let target = out + tile * tileStride + channel * channelStride
        for i in 0..<6 {
          Six(columns + 6 * i, stride: 1).patch.store(
            target + 6 * i * pointStride, stride: pointStride)
        }
      }
    }
  }
}

/// `out[p, t, :] = (A y A^T)[p]` for the gradients y, `side` x `side` of `count` tiles.
///
/// - Parameters:
///   - sources: rows of `channels` of each tile, [count, side, side].
///   - out: point p of channel c of tile t at `p pointStride + t tileStride + c channelStride`, c
///     the first of a vector.
public func transformGradients(
  _ sources: UnsafePointer<UnsafePointer<Float>>, side: Int, count: Int, channels: Int,
  _ out: UnsafeMutablePointer<Float>, pointStride: Int, tileStride: Int, channelStride: Int
) {
  withUnsafeTemporaryAllocation(of: Lanes.self, capacity: 7 * side) { scratch in
    let columns = scratch.baseAddress!
    let values = columns + 6 * side
    for tile in 0..<count {
      let source = sources + tile * side * side
      for channel in stride(from: 0, to: channels, by: Lanes.scalarCount) {
        for j in 0..<side {
          for i in 0..<side { values[i] = (source[i * side + j] + channel).vector(Lanes.self) }
          Six(valuesOf: values, count: side, stride: 1).store(columns + j, stride: side)
        }
        let target = out + tile * tileStride + channel * channelStride
        for i in 0..<6 {
          Six(valuesOf: columns + side * i, count: side, stride: 1)
            .store(target + 6 * i * pointStride, stride: pointStride)
        }
      }
    }
  }
}

/// `targets[t] = A^T m A + bias`: the outputs, `side` x `side` of `count` tiles, from their points.
///
/// - Parameters:
///   - points: m, [36, _, channels], points `pointStride` apart.
///   - bias: [channels].
///   - targets: rows of `channels` of each tile, [count, side, side].
public func transformOutputs(
  _ points: UnsafePointer<Float>, pointStride: Int, side: Int, count: Int, channels: Int,
  bias: UnsafePointer<Float>, _ targets: UnsafePointer<UnsafeMutablePointer<Float>>
) {
  withUnsafeTemporaryAllocation(of: Lanes.self, capacity: 7 * side) { scratch in
    let columns = scratch.baseAddress!
    let values = columns + 6 * side
    for tile in 0..<count {
      let target = targets + tile * side * side
      for channel in stride(from: 0, to: channels, by: Lanes.scalarCount) {
        let source = points + tile * channels + channel
        for j in 0..<6 {
          let column = source + j * pointStride
          Six(
            column.vector(Lanes.self), (column + 6 * pointStride).vector(Lanes.self),
            (column + 12 * pointStride).vector(Lanes.self),
            (column + 18 * pointStride).vector(Lanes.self),
            (column + 24 * pointStride).vector(Lanes.self),
            (column + 30 * pointStride).vector(Lanes.self)
          ).storeSums(columns + j, count: side, stride: 6)
        }
        let shift = (bias + channel).vector(Lanes.self)
        for i in 0..<side {
          Six(columns + 6 * i, stride: 1).storeSums(values, count: side, stride: 1)
          for j in 0..<side { (target[i * side + j] + channel).store(values[j] + shift) }
        }
      }
    }
  }
}

/// `out[p, i] = (G w G^T)[p]` of `count` filters of `side` x `side` taps: `taps` [side, side,
/// count], `out` [36, count], points `pointStride` apart.
public func transformWeights(
  _ taps: UnsafePointer<Float>, side: Int, count: Int, _ out: UnsafeMutablePointer<Float>,
  pointStride: Int
) {
  withUnsafeTemporaryAllocation(of: Lanes.self, capacity: 7 * side) { scratch in
    let columns = scratch.baseAddress!
    let values = columns + 6 * side
    for filter in stride(from: 0, to: count, by: Lanes.scalarCount) {
      for j in 0..<side {
        for i in 0..<side {
          values[i] = (taps + (i * side + j) * count + filter).vector(Lanes.self)
        }
        Six(valuesOf: values, count: side, stride: 1).shares.store(columns + j, stride: side)
      }
      for i in 0..<6 {
        Six(valuesOf: columns + side * i, count: side, stride: 1).shares
          .store(out + 6 * i * pointStride + filter, stride: pointStride)
      }
    }
  }
}

/// `out[tap, i] = (G^T s G)[tap]`, the gradients of `count` filters: `points` [36, count], `out`
/// [side, side, count].
public func transformWeightGradients(
  _ points: UnsafePointer<Float>, side: Int, count: Int, _ out: UnsafeMutablePointer<Float>
) {
  withUnsafeTemporaryAllocation(of: Lanes.self, capacity: 7 * side) { scratch in
    let columns = scratch.baseAddress!
    let values = columns + 6 * side
    for filter in stride(from: 0, to: count, by: Lanes.scalarCount) {
      for j in 0..<6 {
        let point = points + j * count + filter
        Six(
          point.vector(Lanes.self), (point + 6 * count).vector(Lanes.self),
          (point + 12 * count).vector(Lanes.self), (point + 18 * count).vector(Lanes.self),
          (point + 24 * count).vector(Lanes.self), (point + 30 * count).vector(Lanes.self)
        ).shares.storeSums(columns + j, count: side, stride: 6)
      }
      for i in 0..<side {
        Six(columns + 6 * i, stride: 1).shares.storeSums(values, count: side, stride: 1)
        for j in 0..<side { (out + (i * side + j) * count + filter).store(values[j]) }
      }
    }
  }
}
