/// Points of a panel: two vectors.
public var panelPoints: Int { 2 * Lanes.scalarCount }

/// Codes of a tile: with two vectors of points, as many sums as the registers hold.
public var tileCodes: Int {
  #if VQ_AVX512
    12
  #else
    6
  #endif
}

/// Sums of one code for the two vectors of a panel.
struct CodeSums {
  var low, high: Lanes

  @inline(__always)
  init(_ start: Float) {
    low = Lanes(repeating: start)
    high = low
  }

  @inline(__always)
  mutating func add(_ first: Lanes, _ second: Lanes, times code: Float) {
    let code = Lanes(repeating: code)
    low.add(first, times: code)
    high.add(second, times: code)
  }

  @inline(__always)
  func maximum(_ other: CodeSums) -> CodeSums {
    var sums = self
    sums.low = larger(low, other.low)
    sums.high = larger(high, other.high)
    return sums
  }

  /// Writes the sums of a panel to `out` and raises `best` to them.
  @inline(__always)
  func give(_ out: UnsafeMutablePointer<Float>, best: UnsafeMutablePointer<Float>) {
    let lanes = Lanes.scalarCount
    out.store(low)
    (out + lanes).store(high)
    best.store(larger(UnsafePointer(best).vector(Lanes.self), low))
    (best + lanes).store(larger(UnsafePointer(best + lanes).vector(Lanes.self), high))
  }
}

/// Sums of six codes, each broadcast once for both vectors.
struct SixSums {
  var a, b, c, d, e, f: CodeSums

  @inline(__always)
  init(_ start: UnsafePointer<Float>) {
    a = CodeSums(start[0])
    b = CodeSums(start[1])
    c = CodeSums(start[2])
    d = CodeSums(start[3])
    e = CodeSums(start[4])
    f = CodeSums(start[5])
  }

  @inline(__always)
  mutating func add(_ first: Lanes, _ second: Lanes, times code: UnsafePointer<Float>) {
    a.add(first, second, times: code[0])
    b.add(first, second, times: code[1])
    c.add(first, second, times: code[2])
    d.add(first, second, times: code[3])
    e.add(first, second, times: code[4])
    f.add(first, second, times: code[5])
  }

  @inline(__always)
  var largest: CodeSums { a.maximum(b).maximum(c.maximum(d)).maximum(e.maximum(f)) }
}

/// The largest score `X . E + start` of each tile for each point of a panel.
///
/// - Parameters:
///   - panel: X, [d, panelPoints].
///   - tiles: E, [count, d, tileCodes].
///   - starts: [count, tileCodes].
///   - maxima: out, [count, panelPoints].
///   - best: in and out, [panelPoints], the largest over all tiles.
public func scanTiles(
  _ panel: UnsafePointer<Float>, _ tiles: UnsafePointer<Float>, _ starts: UnsafePointer<Float>,
  width d: Int, count: Int, _ maxima: UnsafeMutablePointer<Float>,
  _ best: UnsafeMutablePointer<Float>
) {
  let lanes = Lanes.scalarCount
  var code = tiles
  var start = starts
  var out = maxima
  for _ in 0..<count {
    var sums = SixSums(start)
    #if VQ_AVX512
      var rest = SixSums(start + 6)
    #endif
    var x = panel
    for _ in 0..<d {
      let first = x.vector(Lanes.self)
      let second = (x + lanes).vector(Lanes.self)
      sums.add(first, second, times: code)
      #if VQ_AVX512
        rest.add(first, second, times: code + 6)
      #endif
      x += panelPoints
      code += tileCodes
    }
    var largest = sums.largest
    #if VQ_AVX512
      largest = largest.maximum(rest.largest)
    #endif
    largest.give(out, best: best)
    out += panelPoints
    start += tileCodes
  }
}
