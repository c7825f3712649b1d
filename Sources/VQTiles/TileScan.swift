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

/// Sums of six codes for one vector of points.
struct SixSums {
  var a, b, c, d, e, f: Lanes

  @inline(__always)
  init(_ start: UnsafePointer<Float>) {
    a = Lanes(repeating: start[0])
    b = Lanes(repeating: start[1])
    c = Lanes(repeating: start[2])
    d = Lanes(repeating: start[3])
    e = Lanes(repeating: start[4])
    f = Lanes(repeating: start[5])
  }

  @inline(__always)
  mutating func add(_ x: Lanes, times code: UnsafePointer<Float>) {
    a.add(x, times: Lanes(repeating: code[0]))
    b.add(x, times: Lanes(repeating: code[1]))
    c.add(x, times: Lanes(repeating: code[2]))
    d.add(x, times: Lanes(repeating: code[3]))
    e.add(x, times: Lanes(repeating: code[4]))
    f.add(x, times: Lanes(repeating: code[5]))
  }

  @inline(__always)
  var largest: Lanes { larger(larger(larger(a, b), larger(c, d)), larger(e, f)) }
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
    var low = SixSums(start)
    var high = low
    #if VQ_AVX512
      var lowRest = SixSums(start + 6)
      var highRest = lowRest
    #endif
    var x = panel
    for _ in 0..<d {
      let first = x.vector(Lanes.self)
      let second = (x + lanes).vector(Lanes.self)
      low.add(first, times: code)
      high.add(second, times: code)
      #if VQ_AVX512
        lowRest.add(first, times: code + 6)
        highRest.add(second, times: code + 6)
      #endif
      x += panelPoints
      code += tileCodes
    }
    var lowest = low.largest
    var highest = high.largest
    #if VQ_AVX512
      lowest = larger(lowest, lowRest.largest)
      highest = larger(highest, highRest.largest)
    #endif
    out.store(lowest)
    (out + lanes).store(highest)
    best.store(larger(UnsafePointer(best).vector(Lanes.self), lowest))
    (best + lanes).store(larger(UnsafePointer(best + lanes).vector(Lanes.self), highest))
    out += panelPoints
    start += tileCodes
  }
}
