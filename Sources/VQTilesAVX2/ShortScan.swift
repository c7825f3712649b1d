import CPlatform

@inline(__always)
private func addShortProducts(_ sum: IntLanes, _ a: IntLanes, _ b: IntLanes) -> IntLanes {
  #if VQ_VNNI
    vq_add_short_products16(sum, a, b)
  #else
    vq_add_short_products8(sum, a, b)
  #endif
}

@inline(__always)
private func floats(_ sum: IntLanes) -> Lanes {
  #if VQ_VNNI
    vq_floats16(sum)
  #else
    vq_floats8(sum)
  #endif
}

/// Sums of int16 products of one code for the two vectors of a panel.
private struct ShortSums {
  var low = IntLanes()
  var high = IntLanes()

  @inline(__always)
  mutating func add(_ first: IntLanes, _ second: IntLanes, timesPair code: Int32) {
    let code = IntLanes(repeating: code)
    low = addShortProducts(low, first, code)
    high = addShortProducts(high, second, code)
  }

  /// Scores, `sum factor + start`.
  @inline(__always)
  func scores(_ low: Lanes, _ high: Lanes, _ start: Float) -> CodeSums {
    var scores = CodeSums(start)
    scores.low.add(floats(self.low), times: low)
    scores.high.add(floats(self.high), times: high)
    return scores
  }

  /// The largest score where the two vectors are codes that start at `low` and `high`.
  @inline(__always)
  func largest(_ factor: Float, _ low: Lanes, _ high: Lanes) -> Float {
    let factor = Lanes(repeating: factor)
    var (first, second) = (low, high)
    first.add(floats(self.low), times: factor)
    second.add(floats(self.high), times: factor)
    return largestLane(larger(first, second))
  }
}

/// The same of six codes.
private struct SixShortSums {
  var (a, b, c) = (ShortSums(), ShortSums(), ShortSums())
  var (d, e, f) = (ShortSums(), ShortSums(), ShortSums())

  @inline(__always)
  mutating func add(
    _ first: IntLanes, _ second: IntLanes, timesPairs code: UnsafePointer<Int32>
  ) {
    a.add(first, second, timesPair: code[0])
    b.add(first, second, timesPair: code[1])
    c.add(first, second, timesPair: code[2])
    d.add(first, second, timesPair: code[3])
    e.add(first, second, timesPair: code[4])
    f.add(first, second, timesPair: code[5])
  }

  @inline(__always)
  func largest(_ low: Lanes, _ high: Lanes, _ start: UnsafePointer<Float>) -> CodeSums {
    a.scores(low, high, start[0]).maximum(b.scores(low, high, start[1]))
      .maximum(c.scores(low, high, start[2]).maximum(d.scores(low, high, start[3])))
      .maximum(e.scores(low, high, start[4]).maximum(f.scores(low, high, start[5])))
  }
}

/// `scanTiles` on int16 pairs, whose products are summed exactly: `panel` [pairs, panelPoints],
/// `tiles` [count, pairs, tileCodes], and `factors` [panelPoints], what the sums of a point are
/// multiplied by.
public func scanShortTiles(
  _ panel: UnsafePointer<Int32>, _ tiles: UnsafePointer<Int32>, _ starts: UnsafePointer<Float>,
  _ factors: UnsafePointer<Float>, pairs: Int, count: Int, _ maxima: UnsafeMutablePointer<Float>,
  _ best: UnsafeMutablePointer<Float>
) {
  let lanes = Lanes.scalarCount
  var code = tiles
  var start = starts
  var out = maxima
  for _ in 0..<count {
    var sums = SixShortSums()
    #if VQ_VNNI
      var rest = SixShortSums()
    #endif
    var x = panel
    for _ in 0..<pairs {
      let first = x.vector(IntLanes.self)
      let second = (x + lanes).vector(IntLanes.self)
      sums.add(first, second, timesPairs: code)
      #if VQ_VNNI
        rest.add(first, second, timesPairs: code + 6)
      #endif
      x += panelPoints
      code += tileCodes
    }
    let (low, high) = (factors.vector(Lanes.self), (factors + lanes).vector(Lanes.self))
    var largest = sums.largest(low, high, start)
    #if VQ_VNNI
      largest = largest.maximum(rest.largest(low, high, start + 6))
    #endif
    largest.give(out, best: best)
    out += panelPoints
    start += tileCodes
  }
}

/// `scanGroupTile` on int16 pairs: `points` [_, pairs], `tile` [pairs, groupTileCodes], and
/// `factors`, what the sums of each point are multiplied by.
public func scanShortGroupTile(
  _ points: UnsafePointer<Int32>, _ rows: UnsafePointer<Int32>, count: Int,
  _ tile: UnsafePointer<Int32>, _ starts: UnsafePointer<Float>, _ factors: UnsafePointer<Float>,
  pairs: Int, _ maxima: UnsafeMutablePointer<Float>, stride: Int
) {
  let lanes = Lanes.scalarCount
  let (low, high) = (starts.vector(Lanes.self), (starts + lanes).vector(Lanes.self))
  var first = 0
  while first < count {
    let last = count - 1
    @inline(__always)
    func row(_ i: Int) -> Int { Int(rows[min(first + i, last)]) }
    let (r0, r1, r2, r3, r4, r5) = (row(0), row(1), row(2), row(3), row(4), row(5))
    let (p0, p1, p2) = (points + r0 * pairs, points + r1 * pairs, points + r2 * pairs)
    let (p3, p4, p5) = (points + r3 * pairs, points + r4 * pairs, points + r5 * pairs)
    var (a, b, c) = (ShortSums(), ShortSums(), ShortSums())
    var (e, f, g) = (ShortSums(), ShortSums(), ShortSums())
    var code = tile
    for i in 0..<pairs {
      let (left, right) = (code.vector(IntLanes.self), (code + lanes).vector(IntLanes.self))
      a.add(left, right, timesPair: p0[i])
      b.add(left, right, timesPair: p1[i])
      c.add(left, right, timesPair: p2[i])
      e.add(left, right, timesPair: p3[i])
      f.add(left, right, timesPair: p4[i])
      g.add(left, right, timesPair: p5[i])
      code += 2 * lanes
    }
    maxima[r0 * stride] = a.largest(factors[r0], low, high)
    maxima[r1 * stride] = b.largest(factors[r1], low, high)
    maxima[r2 * stride] = c.largest(factors[r2], low, high)
    maxima[r3 * stride] = e.largest(factors[r3], low, high)
    maxima[r4 * stride] = f.largest(factors[r4], low, high)
    maxima[r5 * stride] = g.largest(factors[r5], low, high)
    first += 6
  }
}

/// Rounds rows [count, d], each times its scale, a power of two, to int16 pairs.
///
/// - Parameters:
///   - scales: [count]; no row may become as long as 2^15.
///   - out: pair p of row r at `out[r * rowStride + p * pairStride]`, a last element alone with 0.
///   - squares: out, [count], the squared length of what rounding took away, in float32.
public func roundToShorts(
  _ rows: UnsafePointer<Float>, count: Int, width d: Int, _ scales: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Int32>, rowStride: Int, pairStride: Int,
  _ squares: UnsafeMutablePointer<Float>
) {
  // Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
  let shift = Lanes(repeating: 12_582_912)
  let lanes = Lanes.scalarCount
  withUnsafeTemporaryAllocation(of: Float.self, capacity: d + lanes) { buffer in
    let shifted = buffer.baseAddress!
    for r in 0..<count {
      let row = rows + r * d
      let scale = Lanes(repeating: scales[r])
      let inverse = Lanes(repeating: 1 / scales[r])
      var sums = Lanes()
      @inline(__always)
      func round(_ value: Lanes, _ out: UnsafeMutablePointer<Float>) {
        let moved = value * scale + shift
        out.store(moved)
        let lost = value - (moved - shift) * inverse
        sums += lost * lost
      }
      var i = 0
      while i + lanes <= d {
        round((row + i).vector(Lanes.self), shifted + i)
        i += lanes
      }
      shifted[d] = 0
      if i < d {
        var value = Lanes()
        for j in i..<d { value[j - i] = row[j] }
        round(value, shifted + i)
      }
      squares[r] = total(sums)
      let target = out + r * rowStride
      for p in 0..<(d + 1) / 2 {
        let (even, odd) = (shifted[2 * p].bitPattern, shifted[2 * p + 1].bitPattern)
        target[p * pairStride] = Int32(bitPattern: even & 0xFFFF | odd &<< 16)
      }
    }
  }
}
