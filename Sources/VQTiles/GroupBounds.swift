import CPlatform

/// Bit i of the result: whether lane i of `a` is at least that of `b`.
@inline(__always)
private func reachedLanes(_ a: Lanes, _ b: Lanes) -> UInt32 {
  #if VQ_AVX512
    vq_reached_lanes16(a, b)
  #elseif VQ_AVX2
    vq_reached_lanes8(a, b)
  #else
    vq_reached_lanes4(a, b)
  #endif
}

@inline(__always)
private func squaredDistance(
  _ x: UnsafePointer<Float>, _ code: UnsafePointer<Float>, width d: Int
) -> Float {
  let lanes = Lanes.scalarCount
  var (a, b) = (Lanes(), Lanes())
  var i = 0
  while i + 2 * lanes <= d {
    let low = (x + i).vector(Lanes.self) - (code + i).vector(Lanes.self)
    let high = (x + i + lanes).vector(Lanes.self) - (code + i + lanes).vector(Lanes.self)
    a.add(low, times: low)
    b.add(high, times: high)
    i += 2 * lanes
  }
  var rest: Float = 0
  while i < d {
    let difference = x[i] - code[i]
    rest += difference * difference
    i += 1
  }
  return total(a + b) + rest
}

/// The squared distance of each point to its code, and the groups that a bound does not keep from
/// having a nearer one: those with `bounds[r, g] <= distance (1 + slack) + least + drift[g]`.
///
/// - Parameters:
///   - x: [count, d].
///   - codes: [count]; `codebook`: [_, d].
///   - bounds: [count, groups]; `drift`: [groups], a whole number of vectors.
///   - squares: out, [count].
///   - lists: out, [groups, room], the points that need a group; `lengths`: in and out, [groups].
public func needGroups(
  _ x: UnsafePointer<Float>, count: Int, _ codes: UnsafePointer<Int32>,
  _ codebook: UnsafePointer<Float>, width d: Int, slack: Float, least: Float,
  _ bounds: UnsafePointer<Float>, _ drift: UnsafePointer<Float>, groups: Int,
  _ squares: UnsafeMutablePointer<Float>, _ lists: UnsafeMutablePointer<Int32>, room: Int,
  _ lengths: UnsafeMutablePointer<Int32>
) {
  let lanes = Lanes.scalarCount
  for r in 0..<count {
    let square = squaredDistance(x + r * d, codebook + Int(codes[r]) * d, width: d)
    squares[r] = square
    let distance = Lanes(repeating: square.squareRoot() * (1 + slack) + least)
    let own = bounds + r * groups
    // Bits of many groups at once: that they are few is easier to foretell than where.
    for base in stride(from: 0, to: groups, by: 64) {
      var left: UInt64 = 0
      for first in stride(from: base, to: min(base + 64, groups), by: lanes) {
        let reached = reachedLanes(
          distance + (drift + first).vector(Lanes.self), (own + first).vector(Lanes.self))
        left |= UInt64(reached) &<< UInt64(first &- base)
      }
      while left != 0 {
        let group = base &+ left.trailingZeroBitCount
        lists[group &* room &+ Int(lengths[group])] = Int32(truncatingIfNeeded: r)
        lengths[group] &+= 1
        left &= left &- 1
      }
    }
  }
}

/// `bounds[g] = (sqrt(square - 2 maxima[g]) + drift[g]) keep` for the groups that have been
/// scanned, those whose maximum is above -inf; maxima [tiles, groups], the largest of a column
/// counts.
///
/// - Parameter square: the point's squared length, less what its scores may be wrong by.
public func boundGroups(
  _ maxima: UnsafePointer<Float>, tiles: Int, square: Float, _ drift: UnsafePointer<Float>,
  groups: Int, keep: Float, _ bounds: UnsafeMutablePointer<Float>
) {
  let lanes = Lanes.scalarCount
  let none = Lanes(repeating: -.greatestFiniteMagnitude)
  for first in stride(from: 0, to: groups, by: lanes) {
    var highest = (maxima + first).vector(Lanes.self)
    for tile in 1..<max(tiles, 1) {
      highest = larger(highest, (maxima + tile * groups + first).vector(Lanes.self))
    }
    let left = larger(Lanes(repeating: square) - (highest + highest), Lanes())
    let bound = (root(left) + (drift + first).vector(Lanes.self)) * Lanes(repeating: keep)
    let own = UnsafePointer(bounds + first).vector(Lanes.self)
    (bounds + first).store(choose(own, whereLess: highest, none, else: bound))
  }
}

/// Writes the places of the maxima that are at least `floor` and within `margin` of the largest.
///
/// - Parameters:
///   - maxima: [count], a whole number of vectors.
///   - places: out, [count].
/// - Returns: how many there are.
public func nearMaxima(
  _ maxima: UnsafePointer<Float>, count: Int, margin: Float, floor: Float,
  _ places: UnsafeMutablePointer<Int32>
) -> Int {
  let lanes = Lanes.scalarCount
  var highest = Lanes(repeating: -.infinity)
  for first in stride(from: 0, to: count, by: lanes) {
    highest = larger(highest, (maxima + first).vector(Lanes.self))
  }
  let limit = Lanes(repeating: max(largestLane(highest) - margin, floor))
  var found = 0
  for first in stride(from: 0, to: count, by: lanes) {
    var left = reachedLanes((maxima + first).vector(Lanes.self), limit)
    while left != 0 {
      places[found] = Int32(truncatingIfNeeded: first + left.trailingZeroBitCount)
      found += 1
      left &= left &- 1
    }
  }
  return found
}
