// Products of a tile of F(m, r) with m + r = 8, along one axis: seven points, 0, a, -a, b, -b, c
// and -c. With a = 5/8, b = 5/4 and c = 5/2 the transforms round a third less than with 1/2, 1
// and 2.
private var a1: Float { 0.625 }
private var b1: Float { 1.25 }
private var c1: Float { 2.5 }
private var a2: Float { a1 * a1 }
private var b2: Float { b1 * b1 }
private var c2: Float { c1 * c1 }
// What G has beyond the values of a polynomial.
private var zeroShare: Float { -1 / (a2 * b2 * c2) }
private var aShare: Float { 1 / (2 * a2 * (a2 - b2) * (a2 - c2)) }
private var bShare: Float { 1 / (2 * b2 * (b2 - a2) * (b2 - c2)) }
private var cShare: Float { 1 / (2 * c2 * (c2 - a2) * (c2 - b2)) }

/// `x + y * factor`
@inline(__always)
private func sum(_ x: Lanes, _ y: Lanes, _ factor: Float) -> Lanes {
  var sum = x
  sum.add(y, times: Lanes(repeating: factor))
  return sum
}

/// Seven vectors: a tile, or the sums and differences of its points.
private struct Seven {
  var zero, a, b, c: Lanes
  var minusA, minusB, minusC: Lanes

  /// From 0 and half the sum and difference of each two points.
  @inline(__always)
  init(
    _ zero: Lanes, _ a: (Lanes, Lanes), _ b: (Lanes, Lanes), _ c: (Lanes, Lanes)
  ) {
    self.zero = zero
    (self.a, minusA) = (a.0 + a.1, a.0 - a.1)
    (self.b, minusB) = (b.0 + b.1, b.0 - b.1)
    (self.c, minusC) = (c.0 + c.1, c.0 - c.1)
  }

  @inline(__always)
  init(_ x: UnsafePointer<Float>, stride: Int) {
    zero = x.vector(Lanes.self)
    (a, minusA) = ((x + stride).vector(Lanes.self), (x + 2 * stride).vector(Lanes.self))
    (b, minusB) = ((x + 3 * stride).vector(Lanes.self), (x + 4 * stride).vector(Lanes.self))
    (c, minusC) = ((x + 5 * stride).vector(Lanes.self), (x + 6 * stride).vector(Lanes.self))
  }

  @inline(__always)
  func store(_ out: UnsafeMutablePointer<Float>, stride: Int) {
    out.store(zero)
    (out + stride).store(a)
    (out + 2 * stride).store(minusA)
    (out + 3 * stride).store(b)
    (out + 4 * stride).store(minusB)
    (out + 5 * stride).store(c)
    (out + 6 * stride).store(minusC)
  }

  /// B^T x: seven values of an input to its points.
  @inline(__always)
  static func patch(
    _ x0: Lanes, _ x1: Lanes, _ x2: Lanes, _ x3: Lanes, _ x4: Lanes, _ x5: Lanes, _ x6: Lanes
  ) -> Seven {
    /// The factor (x^2 - s) (x^2 - t) of a row of B^T, met by every other pixel.
    @inline(__always)
    func rest(_ low: Lanes, _ middle: Lanes, _ high: Lanes, _ s: Float, _ t: Float) -> Lanes {
      sum(sum(high, middle, -s - t), low, s * t)
    }
    let zero = sum(
      sum(sum(x6, x4, -a2 - b2 - c2), x2, a2 * b2 + a2 * c2 + b2 * c2), x0, -a2 * b2 * c2)
    return Seven(
      zero, (rest(x2, x4, x6, b2, c2), rest(x1, x3, x5, b2, c2) * a1),
      (rest(x2, x4, x6, a2, c2), rest(x1, x3, x5, a2, c2) * b1),
      (rest(x2, x4, x6, a2, b2), rest(x1, x3, x5, a2, b2) * c1))
  }

  /// The values at the points of the polynomial with `count` coefficients, two to five: A x of an
  /// output's gradient, and but for the shares G x of weights.
  @inline(__always)
  init(count: Int, _ coefficient: (Int) -> Lanes) {
    let (x0, x1) = (coefficient(0), coefficient(1))
    var (a, b, c) = ((x0, x1 * a1), (x0, x1 * b1), (x0, x1 * c1))
    if count > 2 {
      let x = coefficient(2)
      (a.0, b.0, c.0) = (sum(a.0, x, a2), sum(b.0, x, b2), sum(c.0, x, c2))
    }
    if count > 3 {
      let x = coefficient(3)
      (a.1, b.1, c.1) = (sum(a.1, x, a1 * a2), sum(b.1, x, b1 * b2), sum(c.1, x, c1 * c2))
    }
    if count > 4 {
      let x = coefficient(4)
      (a.0, b.0, c.0) = (sum(a.0, x, a2 * a2), sum(b.0, x, b2 * b2), sum(c.0, x, c2 * c2))
    }
    self.init(x0, a, b, c)
  }

  /// The transposed of `init(count:_:)`: A^T x, points to `count` values of an output, and but for
  /// the shares G^T x.
  @inline(__always)
  func sums(count: Int, _ give: (Int, Lanes) -> Void) {
    let (pa, pb, pc) = (a + minusA, b + minusB, c + minusC)
    let (qa, qb, qc) = (a - minusA, b - minusB, c - minusC)
    give(0, zero + pa + pb + pc)
    give(1, sum(sum(qa * a1, qb, b1), qc, c1))
    if count > 2 { give(2, sum(sum(pa * a2, pb, b2), pc, c2)) }
    if count > 3 { give(3, sum(sum(qa * (a1 * a2), qb, b1 * b2), qc, c1 * c2)) }
    if count > 4 { give(4, sum(sum(pa * (a2 * a2), pb, b2 * b2), pc, c2 * c2)) }
  }

  /// Times one over the products of each point's differences to the others.
  @inline(__always)
  var shares: Seven {
    var result = self
    result.zero *= zeroShare
    (result.a, result.minusA) = (a * aShare, minusA * aShare)
    (result.b, result.minusB) = (b * bShare, minusB * bShare)
    (result.c, result.minusC) = (c * cShare, minusC * cShare)
    return result
  }
}

/// `out[p, t, :] = (B^T x)[p]` for the seven pixels x of each of `count` tiles.
///
/// - Parameters:
///   - sources: rows of `channels` of each tile, [count, 7].
///   - out: point p of channel c of tile t at `p pointStride + t tileStride + c channelStride`, c
///     the first of a vector.
public func transformLines(
  _ sources: UnsafePointer<UnsafePointer<Float>>, count: Int, channels: Int,
  _ out: UnsafeMutablePointer<Float>, pointStride: Int, tileStride: Int, channelStride: Int
) {
  for tile in 0..<count {
    let (x, target) = (sources + 7 * tile, out + tile * tileStride)
    for channel in stride(from: 0, to: channels, by: Lanes.scalarCount) {
      Seven.patch(
        (x[0] + channel).vector(Lanes.self), (x[1] + channel).vector(Lanes.self),
        (x[2] + channel).vector(Lanes.self), (x[3] + channel).vector(Lanes.self),
        (x[4] + channel).vector(Lanes.self), (x[5] + channel).vector(Lanes.self),
        (x[6] + channel).vector(Lanes.self)
      ).store(target + channel * channelStride, stride: pointStride)
    }
  }
}

/// `out[p, t, :] = (A y)[p]` for the `side` gradients y of each of `count` tiles.
///
/// - Parameters:
///   - sources: rows of `channels` of each tile, [count, side].
///   - out: point p of channel c of tile t at `p pointStride + t tileStride + c channelStride`, c
///     the first of a vector.
public func transformLineGradients(
  _ sources: UnsafePointer<UnsafePointer<Float>>, side: Int, count: Int, channels: Int,
  _ out: UnsafeMutablePointer<Float>, pointStride: Int, tileStride: Int, channelStride: Int
) {
  for tile in 0..<count {
    let (y, target) = (sources + side * tile, out + tile * tileStride)
    for channel in stride(from: 0, to: channels, by: Lanes.scalarCount) {
      Seven(count: side) { (y[$0] + channel).vector(Lanes.self) }
        .store(target + channel * channelStride, stride: pointStride)
    }
  }
}

/// `targets[t] = A^T m + bias`: the `side` outputs of each of `count` tiles from their points.
///
/// - Parameters:
///   - points: m, [7, _, channels], points `pointStride` apart.
///   - bias: [channels].
///   - targets: rows of `channels` of each tile, [count, side].
public func transformLineOutputs(
  _ points: UnsafePointer<Float>, pointStride: Int, side: Int, count: Int, channels: Int,
  bias: UnsafePointer<Float>, _ targets: UnsafePointer<UnsafeMutablePointer<Float>>
) {
  for tile in 0..<count {
    let (target, source) = (targets + side * tile, points + tile * channels)
    for channel in stride(from: 0, to: channels, by: Lanes.scalarCount) {
      let shift = (bias + channel).vector(Lanes.self)
      Seven(source + channel, stride: pointStride).sums(count: side) {
        (target[$0] + channel).store($1 + shift)
      }
    }
  }
}

/// `out[p, i] = (G w)[p]` of `count` filters of `side` taps: `taps` [side, count], `out`
/// [7, count], points `pointStride` apart.
public func transformLineWeights(
  _ taps: UnsafePointer<Float>, side: Int, count: Int, _ out: UnsafeMutablePointer<Float>,
  pointStride: Int
) {
  for filter in stride(from: 0, to: count, by: Lanes.scalarCount) {
    Seven(count: side) { (taps + $0 * count + filter).vector(Lanes.self) }.shares
      .store(out + filter, stride: pointStride)
  }
}

/// `out[tap, i] = (G^T s)[tap]`, the gradients of `count` filters: `points` [7, count], `out`
/// [side, count].
public func transformLineWeightGradients(
  _ points: UnsafePointer<Float>, side: Int, count: Int, _ out: UnsafeMutablePointer<Float>
) {
  for filter in stride(from: 0, to: count, by: Lanes.scalarCount) {
    Seven(points + filter, stride: count).shares.sums(count: side) {
      (out + $0 * count + filter).store($1)
    }
  }
}
