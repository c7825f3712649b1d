import CPlatform

#if VQ_AVX512 || VQ_AVX2
  typealias DirectLanes = SIMD8<Float>
  typealias DoubleLanes = SIMD4<Double>
#else
  typealias DirectLanes = Lanes
  typealias DoubleLanes = SIMD2<Double>
#endif

/// `sum_i ((x[i] - codes[j, i]) scale)^2` of eight codes in `sums.count` partial sums each.
@inline(__always)
private func eightSums<Vector: SIMD>(
  _ x: UnsafePointer<Vector.Scalar>, _ codes: UnsafePointer<Vector.Scalar>, width d: Int,
  scale: Vector.Scalar?, _ type: Vector.Type, _ out: UnsafeMutablePointer<Vector.Scalar>
) where Vector.Scalar: BinaryFloatingPoint {
  let lanes = Vector.scalarCount
  var (a, b, c, e) = (Vector(), Vector(), Vector(), Vector())
  var (f, g, h, k) = (Vector(), Vector(), Vector(), Vector())
  @inline(__always)
  func add(_ sum: inout Vector, _ point: Vector, _ code: UnsafePointer<Vector.Scalar>) {
    var difference = point - code.vector(Vector.self)
    if let scale { difference *= Vector(repeating: scale) }
    #if VQ_AVX512 || VQ_AVX2
      sum.addProduct(difference, difference)
    #else
      sum += difference * difference
    #endif
  }
  var i = 0
  while i + lanes <= d {
    let point = (x + i).vector(Vector.self)
    let code = codes + i
    // Of rows that are read side by side the CPU does not see the next ones ahead.
    let next = codes + 16 * d + 8 * i
    if i % (2 * lanes) == 0 {
      for line in 0..<8 { vq_prefetch(next + 2 * lanes * line) }
    }
    add(&a, point, code)
    add(&b, point, code + d)
    add(&c, point, code + 2 * d)
    add(&e, point, code + 3 * d)
    add(&f, point, code + 4 * d)
    add(&g, point, code + 5 * d)
    add(&h, point, code + 6 * d)
    add(&k, point, code + 7 * d)
    i += lanes
  }
  (out[0], out[1], out[2], out[3]) = (a.sum(), b.sum(), c.sum(), e.sum())
  (out[4], out[5], out[6], out[7]) = (f.sum(), g.sum(), h.sum(), k.sum())
  guard i < d else { return }
  for j in 0..<8 {
    var rest: Vector.Scalar = 0
    for l in i..<d {
      var difference = x[l] - codes[j * d + l]
      if let scale { difference *= scale }
      rest += difference * difference
    }
    out[j] += rest
  }
}

@inline(__always)
private func distances<Vector: SIMD>(
  _ x: UnsafePointer<Vector.Scalar>, _ codes: UnsafePointer<Vector.Scalar>, count: Int,
  width d: Int, scale: Vector.Scalar, _ type: Vector.Type,
  _ out: UnsafeMutablePointer<Vector.Scalar>
) where Vector.Scalar: BinaryFloatingPoint {
  var j = 0
  while j + 8 <= count {
    if scale == 1 {
      eightSums(x, codes + j * d, width: d, scale: nil, type, out + j)
    } else {
      eightSums(x, codes + j * d, width: d, scale: scale, type, out + j)
    }
    j += 8
  }
  while j < count {
    var sum: Vector.Scalar = 0
    for l in 0..<d {
      let difference = (x[l] - codes[j * d + l]) * scale
      sum += difference * difference
    }
    out[j] = sum
    j += 1
  }
}

/// `out[j] = sum_i ((x[i] - codes[j, i]) scale)^2` of `codes` [count, d] in float32, in any order.
public func directDistances(
  _ x: UnsafePointer<Float>, _ codes: UnsafePointer<Float>, count: Int, width d: Int,
  scale: Float, _ out: UnsafeMutablePointer<Float>
) {
  distances(x, codes, count: count, width: d, scale: scale, DirectLanes.self, out)
}

/// The same in Float64.
public func directDistances(
  _ x: UnsafePointer<Double>, _ codes: UnsafePointer<Double>, count: Int, width d: Int,
  scale: Double, _ out: UnsafeMutablePointer<Double>
) {
  distances(x, codes, count: count, width: d, scale: scale, DoubleLanes.self, out)
}
