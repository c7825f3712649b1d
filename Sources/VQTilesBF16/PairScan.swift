import CPlatform

extension CodeSums {
  @inline(__always)
  fileprivate mutating func add(
    _ first: SIMD16<Int32>, _ second: SIMD16<Int32>, timesPair code: Int32
  ) {
    let code = SIMD16(repeating: code)
    low = vq_add_pair_products(low, first, code)
    high = vq_add_pair_products(high, second, code)
  }
}

extension SixSums {
  @inline(__always)
  fileprivate mutating func add(
    _ first: SIMD16<Int32>, _ second: SIMD16<Int32>, timesPairs code: UnsafePointer<Int32>
  ) {
    a.add(first, second, timesPair: code[0])
    b.add(first, second, timesPair: code[1])
    c.add(first, second, timesPair: code[2])
    d.add(first, second, timesPair: code[3])
    e.add(first, second, timesPair: code[4])
    f.add(first, second, timesPair: code[5])
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
    var sums = SixSums(start)
    var rest = SixSums(start + 6)
    var x = panel
    for _ in 0..<pairs {
      let first = x.vector(SIMD16<Int32>.self)
      let second = (x + 16).vector(SIMD16<Int32>.self)
      sums.add(first, second, timesPairs: code)
      rest.add(first, second, timesPairs: code + 6)
      x += panelPoints
      code += tileCodes
    }
    let largest = sums.largest.maximum(rest.largest)
    largest.give(out, best: best)
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
