import CPlatform

/// Codes of one tile of the search by the definition.
public var exactCodes: Int { 8 }

/// Squared distances of four points to the codes of a tile, `sum_i (x[i] - code[i])^2` in index
/// order.
private struct FourDistances {
  var a, b, c, d: SIMD8<Double>

  @inline(__always)
  init(_ x: UnsafePointer<Double>, _ tile: UnsafePointer<Double>, width: Int) {
    @inline(__always)
    func add(_ sum: inout SIMD8<Double>, _ difference: SIMD8<Double>) {
      sum += difference * difference
    }
    (a, b, c, d) = (SIMD8(), SIMD8(), SIMD8(), SIMD8())
    var code = tile
    for i in 0..<width {
      let values = code.vector(SIMD8<Double>.self)
      add(&a, SIMD8(repeating: x[i]) - values)
      add(&b, SIMD8(repeating: x[width + i]) - values)
      add(&c, SIMD8(repeating: x[2 * width + i]) - values)
      add(&d, SIMD8(repeating: x[3 * width + i]) - values)
      code += 8
    }
  }

}

@inline(__always)
private func lower(
  _ distances: SIMD8<Double>, _ first: Int32, _ least: inout Double, _ nearest: inout Int32
) {
  guard any(distances .< least) else { return }
  for lane in 0..<8 where distances[lane] < least {
    least = distances[lane]
    nearest = first + Int32(lane)
  }
}

/// Lowers `least` and sets `nearest` of four points where a code of the tiles is nearer, the lowest
/// on equality; to be called with ascending tiles.
///
/// - Parameters:
///   - x: [4, d].
///   - tiles: [count, d, exactCodes], +inf behind the last code.
///   - first: the first code of the tiles.
///   - least, nearest: in and out, [4].
public func nearestExactly(
  _ x: UnsafePointer<Double>, _ tiles: UnsafePointer<Double>, width d: Int, count: Int,
  first: Int32, _ least: UnsafeMutablePointer<Double>, _ nearest: UnsafeMutablePointer<Int32>
) {
  for tile in 0..<count {
    let distances = FourDistances(x, tiles + tile * d * 8, width: d)
    let code = first + Int32(tile * 8)
    lower(distances.a, code, &least[0], &nearest[0])
    lower(distances.b, code, &least[1], &nearest[1])
    lower(distances.c, code, &least[2], &nearest[2])
    lower(distances.d, code, &least[3], &nearest[3])
  }
}

/// `out[r, j]` = the squared distance of point r to code j of the tiles, [4, stride], by the
/// definition.
public func distancesExactly(
  _ x: UnsafePointer<Double>, _ tiles: UnsafePointer<Double>, width d: Int, count: Int,
  _ out: UnsafeMutablePointer<Double>, stride: Int
) {
  for tile in 0..<count {
    let distances = FourDistances(x, tiles + tile * d * 8, width: d)
    let target = out + tile * 8
    target.store(distances.a)
    (target + stride).store(distances.b)
    (target + 2 * stride).store(distances.c)
    (target + 3 * stride).store(distances.d)
  }
}

/// Writes the places of the first `room` of `count` numbers up to `limit`; returns how many there
/// are.
public func placesUpTo(
  _ limit: Double, _ x: UnsafePointer<Double>, count: Int, _ places: UnsafeMutablePointer<Int32>,
  room: Int
) -> Int {
  var found = 0
  for first in stride(from: 0, to: count, by: 8) {
    var bits = vq_lanes_up_to((x + first).vector(SIMD8<Double>.self), limit)
    while bits != 0 {
      if found < room { places[found] = Int32(first + bits.trailingZeroBitCount) }
      found += 1
      bits &= bits - 1
    }
  }
  return found
}
