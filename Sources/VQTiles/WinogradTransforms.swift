import CPlatform

// Products of a tile of F(4x4, 3x3) and of F(2x2, 5x5): six points a side, 0, a, -a, b, -b and
// infinity. With a = 3/4 and b = 3/2 the transforms round four times less than with the 1 and 2 of
// Lavin and Gray (2016). F(4x4, 2x2) has five, c, -c, d, -d and infinity, which round half of that
// with c = 1/2 and d = 5/4.
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

private var c1: Float { 0.5 }
private var d1: Float { 1.25 }
private var c2: Float { c1 * c1 }
private var d2: Float { d1 * d1 }
private var c3: Float { c1 * c2 }
private var d3: Float { d1 * d2 }
private var cShare: Float { 1 / (2 * c1 * (c2 - d2)) }
private var dShare: Float { 1 / (2 * d1 * (d2 - c2)) }

/// `x + y * factor`
@inline(__always)
private func sum(_ x: Lanes, _ y: Lanes, _ factor: Float) -> Lanes {
  var sum = x
  sum.add(y, times: Lanes(repeating: factor))
  return sum
}

/// A row or column of a tile: a vector for each pixel, or for each of as many points.
private protocol TileLine {
  static var count: Int { get }
  init(_ vector: (Int) -> Lanes)
  func forEach(_ body: (Int, Lanes) -> Void)

  /// B^T x: the pixels of an input to its points.
  var patch: Self { get }
  /// The values at the points of the polynomial with `count` coefficients: A x of an output's
  /// gradient, and but for the shares G x of weights.
  init(valuesOf x: UnsafePointer<Lanes>, count: Int, stride: Int)
  /// The transposed of `init(valuesOf:)`: A^T x, points to `count` values of an output, and but for
  /// the shares G^T x.
  func storeSums(_ out: UnsafeMutablePointer<Lanes>, count: Int, stride: Int)
  /// Times one over the products of each point's differences to the others.
  var shares: Self { get }
}

extension TileLine {
  @inline(__always)
  init(_ x: UnsafePointer<Lanes>, stride: Int) { self.init { x[$0 * stride] } }

  @inline(__always)
  init(_ x: UnsafePointer<Float>, stride: Int) {
    self.init { (x + $0 * stride).vector(Lanes.self) }
  }

  @inline(__always)
  func store(_ out: UnsafeMutablePointer<Lanes>, stride: Int) {
    forEach { out[$0 * stride] = $1 }
  }

  @inline(__always)
  func store(_ out: UnsafeMutablePointer<Float>, stride: Int) {
    forEach { (out + $0 * stride).store($1) }
  }
}

/// Two to five coefficients.
private struct Six: TileLine {
  var a, b, c, d, e, f: Lanes

  @inline(__always)
  static var count: Int { 6 }

  @inline(__always)
  init(_ a: Lanes, _ b: Lanes, _ c: Lanes, _ d: Lanes, _ e: Lanes, _ f: Lanes) {
    (self.a, self.b, self.c, self.d, self.e, self.f) = (a, b, c, d, e, f)
  }

  @inline(__always)
  init(_ x: (Int) -> Lanes) { (a, b, c, d, e, f) = (x(0), x(1), x(2), x(3), x(4), x(5)) }

  @inline(__always)
  func forEach(_ body: (Int, Lanes) -> Void) {
    body(0, a)
    body(1, b)
    body(2, c)
    body(3, d)
    body(4, e)
    body(5, f)
  }

  @inline(__always)
  var patch: Six {
    let (p, q) = (sum(e, c, -b2), sum(d, b, -b2) * a1)
    let (r, s) = (sum(e, c, -a2), sum(d, b, -a2) * b1)
    let (first, last) = (sum(sum(e, c, -a2 - b2), a, a2 * b2), sum(sum(f, d, -a2 - b2), b, a2 * b2))
    return Six(first, p + q, p - q, r + s, r - s, last)
  }

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

  @inline(__always)
  var shares: Six {
    Six(a * zeroShare, b * aShare, c * aShare, d * bShare, e * bShare, f)
  }
}

/// Two to four coefficients.
private struct Five: TileLine {
  var a, b, c, d, e: Lanes

  @inline(__always)
  static var count: Int { 5 }

  @inline(__always)
  init(_ a: Lanes, _ b: Lanes, _ c: Lanes, _ d: Lanes, _ e: Lanes) {
    (self.a, self.b, self.c, self.d, self.e) = (a, b, c, d, e)
  }

  @inline(__always)
  init(_ x: (Int) -> Lanes) { (a, b, c, d, e) = (x(0), x(1), x(2), x(3), x(4)) }

  @inline(__always)
  func forEach(_ body: (Int, Lanes) -> Void) {
    body(0, a)
    body(1, b)
    body(2, c)
    body(3, d)
    body(4, e)
  }

  @inline(__always)
  var patch: Five {
    let (p, q) = (sum(d, b, -d2), sum(c, a, -d2) * c1)
    let (r, s) = (sum(d, b, -c2), sum(c, a, -c2) * d1)
    return Five(p + q, p - q, r + s, r - s, sum(sum(e, c, -c2 - d2), a, c2 * d2))
  }

  @inline(__always)
  init(valuesOf x: UnsafePointer<Lanes>, count: Int, stride: Int) {
    let (x0, x1) = (x[0], x[stride])
    var (p, q, r, s) = (x0, x1 * c1, x0, x1 * d1)
    if count > 2 {
      p.add(x[2 * stride], times: Lanes(repeating: c2))
      r.add(x[2 * stride], times: Lanes(repeating: d2))
    }
    if count > 3 {
      q.add(x[3 * stride], times: Lanes(repeating: c3))
      s.add(x[3 * stride], times: Lanes(repeating: d3))
    }
    self.init(p + q, p - q, r + s, r - s, x[(count - 1) * stride])
  }

  @inline(__always)
  func storeSums(_ out: UnsafeMutablePointer<Lanes>, count: Int, stride: Int) {
    let (p, q, r, s) = (a + b, a - b, c + d, c - d)
    out[0] = p + r
    out[stride] = sum(q * c1, s, d1)
    if count > 2 { out[2 * stride] = sum(p * c2, r, d2) }
    if count > 3 { out[3 * stride] = sum(q * c3, s, d3) }
    out[(count - 1) * stride] += e
  }

  @inline(__always)
  var shares: Five { Five(a * cShare, b * -cShare, c * dShare, d * -dShare, e) }
}

/// Tiles between the one that is transformed and the one that is fetched.
private var ahead: Int { 3 }

/// `out[p, t, :] = (B^T x B)[p]` for the square patches x of `count` tiles.
///
/// - Parameters:
///   - sources: rows of `channels` of each patch, [count, points].
///   - out: point p of channel c of tile t at `p pointStride + t tileStride + c channelStride`, c
///     the first of a vector.
@inline(__always)
private func patches<Line: TileLine>(
  _: Line.Type, _ sources: UnsafePointer<UnsafePointer<Float>>, _ count: Int, _ channels: Int,
  _ out: UnsafeMutablePointer<Float>, _ pointStride: Int, _ tileStride: Int, _ channelStride: Int
) {
  let side = Line.count
  withUnsafeTemporaryAllocation(of: Lanes.self, capacity: side * side) { scratch in
    let columns = scratch.baseAddress!
    for tile in 0..<count {
      let source = sources + tile * side * side
      let next = sources + min(tile + ahead, count - 1) * side * side
      for channel in stride(from: 0, to: channels, by: Lanes.scalarCount) {
        for row in 0..<side * side { vq_prefetch(next[row] + channel) }
        for j in 0..<side {
          Line { (source[$0 * side + j] + channel).vector(Lanes.self) }
            .patch.store(columns + j, stride: side)
        }
        let target = out + tile * tileStride + channel * channelStride
        for i in 0..<side {
          Line(columns + side * i, stride: 1).patch.store(
            target + side * i * pointStride, stride: pointStride)
        }
      }
    }
  }
}

/// `out[p, t, :] = (A y A^T)[p]` for the gradients y, `side` x `side` of `count` tiles.
///
/// - Parameters:
///   - sources: rows of `channels` of each tile, [count, side, side].
///   - out: as of `patches`.
@inline(__always)
private func gradients<Line: TileLine>(
  _: Line.Type, _ sources: UnsafePointer<UnsafePointer<Float>>, _ side: Int, _ count: Int,
  _ channels: Int, _ out: UnsafeMutablePointer<Float>, _ pointStride: Int, _ tileStride: Int,
  _ channelStride: Int
) {
  withUnsafeTemporaryAllocation(of: Lanes.self, capacity: (Line.count + 1) * side) { scratch in
    let columns = scratch.baseAddress!
    let values = columns + Line.count * side
    for tile in 0..<count {
      let source = sources + tile * side * side
      for channel in stride(from: 0, to: channels, by: Lanes.scalarCount) {
        for j in 0..<side {
          for i in 0..<side { values[i] = (source[i * side + j] + channel).vector(Lanes.self) }
          Line(valuesOf: values, count: side, stride: 1).store(columns + j, stride: side)
        }
        let target = out + tile * tileStride + channel * channelStride
        for i in 0..<Line.count {
          Line(valuesOf: columns + side * i, count: side, stride: 1)
            .store(target + Line.count * i * pointStride, stride: pointStride)
        }
      }
    }
  }
}

/// `targets[t] = A^T m A + bias`: the outputs, `side` x `side` of `count` tiles, from their points.
///
/// - Parameters:
///   - points: m, [points, _, channels], points `pointStride` apart.
///   - bias: [channels].
///   - targets: rows of `channels` of each tile, [count, side, side].
@inline(__always)
private func outputs<Line: TileLine>(
  _: Line.Type, _ points: UnsafePointer<Float>, _ pointStride: Int, _ side: Int, _ count: Int,
  _ channels: Int, _ bias: UnsafePointer<Float>,
  _ targets: UnsafePointer<UnsafeMutablePointer<Float>>
) {
  withUnsafeTemporaryAllocation(of: Lanes.self, capacity: (Line.count + 1) * side) { scratch in
    let columns = scratch.baseAddress!
    let values = columns + Line.count * side
    for tile in 0..<count {
      let target = targets + tile * side * side
      for channel in stride(from: 0, to: channels, by: Lanes.scalarCount) {
        let source = points + tile * channels + channel
        for j in 0..<Line.count {
          Line(source + j * pointStride, stride: Line.count * pointStride)
            .storeSums(columns + j, count: side, stride: Line.count)
        }
        let shift = (bias + channel).vector(Lanes.self)
        for i in 0..<side {
          Line(columns + Line.count * i, stride: 1).storeSums(values, count: side, stride: 1)
          for j in 0..<side { (target[i * side + j] + channel).store(values[j] + shift) }
        }
      }
    }
  }
}

/// `out[p, i] = (G w G^T)[p]` of `count` filters of `side` x `side` taps: `taps` [side, side,
/// count], `out` [points, count], points `pointStride` apart.
@inline(__always)
private func weights<Line: TileLine>(
  _: Line.Type, _ taps: UnsafePointer<Float>, _ side: Int, _ count: Int,
  _ out: UnsafeMutablePointer<Float>, _ pointStride: Int
) {
  withUnsafeTemporaryAllocation(of: Lanes.self, capacity: (Line.count + 1) * side) { scratch in
    let columns = scratch.baseAddress!
    let values = columns + Line.count * side
    for filter in stride(from: 0, to: count, by: Lanes.scalarCount) {
      for j in 0..<side {
        for i in 0..<side {
          values[i] = (taps + (i * side + j) * count + filter).vector(Lanes.self)
        }
        Line(valuesOf: values, count: side, stride: 1).shares.store(columns + j, stride: side)
      }
      for i in 0..<Line.count {
        Line(valuesOf: columns + side * i, count: side, stride: 1).shares
          .store(out + Line.count * i * pointStride + filter, stride: pointStride)
      }
    }
  }
}

/// `out[tap, i] = (G^T s G)[tap]`, the gradients of `count` filters: `points` [points, count],
/// `out` [side, side, count].
@inline(__always)
private func weightGradients<Line: TileLine>(
  _: Line.Type, _ points: UnsafePointer<Float>, _ side: Int, _ count: Int,
  _ out: UnsafeMutablePointer<Float>
) {
  withUnsafeTemporaryAllocation(of: Lanes.self, capacity: (Line.count + 1) * side) { scratch in
    let columns = scratch.baseAddress!
    let values = columns + Line.count * side
    for filter in stride(from: 0, to: count, by: Lanes.scalarCount) {
      for j in 0..<Line.count {
        Line(points + j * count + filter, stride: Line.count * count).shares
          .storeSums(columns + j, count: side, stride: Line.count)
      }
      for i in 0..<side {
        Line(columns + Line.count * i, stride: 1).shares.storeSums(values, count: side, stride: 1)
        for j in 0..<side { (out + (i * side + j) * count + filter).store(values[j]) }
      }
    }
  }
}

// MARK: - 6x6 pixels and points

public func transformPatches(
  _ sources: UnsafePointer<UnsafePointer<Float>>, count: Int, channels: Int,
  _ out: UnsafeMutablePointer<Float>, pointStride: Int, tileStride: Int, channelStride: Int
) {
  patches(Six.self, sources, count, channels, out, pointStride, tileStride, channelStride)
}

public func transformGradients(
  _ sources: UnsafePointer<UnsafePointer<Float>>, side: Int, count: Int, channels: Int,
  _ out: UnsafeMutablePointer<Float>, pointStride: Int, tileStride: Int, channelStride: Int
) {
  gradients(
    Six.self, sources, side, count, channels, out, pointStride, tileStride, channelStride)
}

public func transformOutputs(
  _ points: UnsafePointer<Float>, pointStride: Int, side: Int, count: Int, channels: Int,
  bias: UnsafePointer<Float>, _ targets: UnsafePointer<UnsafeMutablePointer<Float>>
) {
  outputs(Six.self, points, pointStride, side, count, channels, bias, targets)
}

public func transformWeights(
  _ taps: UnsafePointer<Float>, side: Int, count: Int, _ out: UnsafeMutablePointer<Float>,
  pointStride: Int
) {
  weights(Six.self, taps, side, count, out, pointStride)
}

public func transformWeightGradients(
  _ points: UnsafePointer<Float>, side: Int, count: Int, _ out: UnsafeMutablePointer<Float>
) {
  weightGradients(Six.self, points, side, count, out)
}

// MARK: - 5x5 pixels and points

public func transformPhasePatches(
  _ sources: UnsafePointer<UnsafePointer<Float>>, count: Int, channels: Int,
  _ out: UnsafeMutablePointer<Float>, pointStride: Int, tileStride: Int, channelStride: Int
) {
  patches(Five.self, sources, count, channels, out, pointStride, tileStride, channelStride)
}

public func transformPhaseGradients(
  _ sources: UnsafePointer<UnsafePointer<Float>>, side: Int, count: Int, channels: Int,
  _ out: UnsafeMutablePointer<Float>, pointStride: Int, tileStride: Int, channelStride: Int
) {
  gradients(
    Five.self, sources, side, count, channels, out, pointStride, tileStride, channelStride)
}

public func transformPhaseOutputs(
  _ points: UnsafePointer<Float>, pointStride: Int, side: Int, count: Int, channels: Int,
  bias: UnsafePointer<Float>, _ targets: UnsafePointer<UnsafeMutablePointer<Float>>
) {
  outputs(Five.self, points, pointStride, side, count, channels, bias, targets)
}

public func transformPhaseWeights(
  _ taps: UnsafePointer<Float>, side: Int, count: Int, _ out: UnsafeMutablePointer<Float>,
  pointStride: Int
) {
  weights(Five.self, taps, side, count, out, pointStride)
}

public func transformPhaseWeightGradients(
  _ points: UnsafePointer<Float>, side: Int, count: Int, _ out: UnsafeMutablePointer<Float>
) {
  weightGradients(Five.self, points, side, count, out)
}
