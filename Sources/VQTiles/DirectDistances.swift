import CPlatform

#if VQ_AVX512 || VQ_AVX2
  typealias DirectLanes = SIMD8<Float>
  typealias DoubleLanes = SIMD4<Double>
#else
  typealias DirectLanes = Lanes
  typealias DoubleLanes = SIMD2<Double>
#endif

/// Bytes that are fetched ahead: rows that are read side by side the CPU does not see before, and
/// memory answers after a hundred nanoseconds.
private let ahead = 1 << 14

/// `sum_i ((x[i] - codes[j, i]) scale)^2` of four codes.
@inline(__always)
private func fourSums<Vector: SIMD>(
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
  while i + 2 * lanes <= d {
    let code = codes + i
    let next = UnsafeRawPointer(codes + 4 * i) + ahead
    for line in 0..<4 { vq_prefetch(next + 2 * MemoryLayout<Vector>.size * line) }
    let point = (x + i).vector(Vector.self)
    add(&a, point, code)
    add(&b, point, code + d)
    add(&c, point, code + 2 * d)
    add(&e, point, code + 3 * d)
    let second = (x + i + lanes).vector(Vector.self)
    add(&f, second, code + lanes)
    add(&g, second, code + d + lanes)
    add(&h, second, code + 2 * d + lanes)
    add(&k, second, code + 3 * d + lanes)
    i += 2 * lanes
  }
  if i + lanes <= d {
    let point = (x + i).vector(Vector.self)
    add(&a, point, codes + i)
    add(&b, point, codes + d + i)
    add(&c, point, codes + 2 * d + i)
    add(&e, point, codes + 3 * d + i)
    i += lanes
  }
  (out[0], out[1]) = ((a + f).sum(), (b + g).sum())
  (out[2], out[3]) = ((c + h).sum(), (e + k).sum())
  guard i < d else { return }
  for j in 0..<4 {
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
  while j + 4 <= count {
    if scale == 1 {
      fourSums(x, codes + j * d, width: d, scale: nil, type, out + j)
    } else {
      fourSums(x, codes + j * d, width: d, scale: scale, type, out + j)
    }
    j += 4
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
