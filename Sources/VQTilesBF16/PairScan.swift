import CPlatform

/// Sums of six codes for one vector of points, two elements of each at a time.
private struct SixPairSums {
  var sums: SixSums

  @inline(__always)
  mutating func add(_ x: SIMD16<Int32>, times code: UnsafePointer<Int32>) {
    sums.a = vq_add_pair_products(sums.a, x, SIMD16(repeating: code[0]))
    sums.b = vq_add_pair_products(sums.b, x, SIMD16(repeating: code[1]))
    sums.c = vq_add_pair_products(sums.c, x, SIMD16(repeating: code[2]))
    sums.d = vq_add_pair_products(sums.d, x, SIMD16(repeating: code[3]))
    sums.e = vq_add_pair_products(sums.e, x, SIMD16(repeating: code[4]))
    sums.f = vq_add_pair_products(sums.f, x, SIMD16(repeating: code[5]))
  }
}

/// `scanTiles` on bfloat16 pairs: `panel` [pairs, panelPoints], `tiles` [count, pairs, tileCodes].
public func scanPairTiles(
  _ panel: UnsafePointer<Int32>, _ tiles: UnsafePointer<Int32>, _ starts: UnsafePointer<Float>,
  pairs: Int, count: Int, _ maxima: UnsafeMutablePointer<Float>,
  _ best: UnsafeMutablePointer<Float>
) {
  var code = tiles
  var start = starts
  var out = maxima
  for _ in 0..<count {
    var low = SixPairSums(sums: SixSums(start))
    var high = low
    var lowRest = SixPairSums(sums: SixSums(start + 6))
    var highRest = lowRest
    var x = panel
    for _ in 0..<pairs {
      let first = x.vector(SIMD16<Int32>.self)
      let second = (x + 16).vector(SIMD16<Int32>.self)
      low.add(first, times: code)
      high.add(second, times: code)
      lowRest.add(first, times: code + 6)
      highRest.add(second, times: code + 6)
      x += panelPoints
      code += tileCodes
    }
    let lowest = larger(low.sums.largest, lowRest.sums.largest)
    let highest = larger(high.sums.largest, highRest.sums.largest)
    out.store(lowest)
    (out + 16).store(highest)
    best.store(larger(UnsafePointer(best).vector(Lanes.self), lowest))
    (best + 16).store(larger(UnsafePointer(best + 16).vector(Lanes.self), highest))
    out += panelPoints
    start += tileCodes
  }
}

/// Rounds rows [count, d] to bfloat16 pairs.
///
/// - Parameters:
///   - out: pair p of row r at `out[r * rowStride + p * pairStride]`, a last element alone with 0.
///   - squares: out, [count], the squared length of what rounding took away, in float32.
public func roundToPairs(
  _ rows: UnsafePointer<Float>, count: Int, width d: Int, _ out: UnsafeMutablePointer<Int32>,
  rowStride: Int, pairStride: Int, _ squares: UnsafeMutablePointer<Float>
) {
  withUnsafeTemporaryAllocation(of: Float.self, capacity: d + 16) { buffer in
    let half = buffer.baseAddress!
    for r in 0..<count {
      let row = rows + r * d
      var sums = SIMD16<Float>()
      var i = 0
      while i + 16 <= d {
        let value = (row + i).vector(SIMD16<Float>.self)
        let nearest = vq_rounded_to_bfloat16(value)
        (half + i).store(nearest)
        let lost = value - nearest
        sums += lost * lost
        i += 16
      }
      if i < d {
        var value = SIMD16<Float>()
        for j in i..<d { value[j - i] = row[j] }
        let nearest = vq_rounded_to_bfloat16(value)
        (half + i).store(nearest)
        let lost = value - nearest
        sums += lost * lost
      }
      half[d] = 0
      squares[r] = sums.sum()
      let target = out + r * rowStride
      for p in 0..<(d + 1) / 2 {
        target[p * pairStride] = Int32(
          bitPattern: half[2 * p].bitPattern &>> 16 | half[2 * p + 1].bitPattern)
      }
    }
  }
}
