/// A code and its squared distance by the definition.
struct RankedCode {
  var distance: Double
  var code: Int

  @inline(__always)
  static func isBefore(_ a: RankedCode, _ b: RankedCode) -> Bool {
    a.distance < b.distance || (a.distance == b.distance && a.code < b.code)
  }
}

/// The distances of `found`, four sums in index order at a time.
func measureDistances<Element: SearchElement>(
  _ found: UnsafeMutableBufferPointer<RankedCode>, _ x: UnsafePointer<Element>,
  _ codebook: UnsafePointer<Element>, width d: Int
) {
  var first = 0
  while first + 4 <= found.count {
    let a = codebook + found[first].code * d
    let b = codebook + found[first + 1].code * d
    let c = codebook + found[first + 2].code * d
    let e = codebook + found[first + 3].code * d
    var sums = SIMD4<Double>()
    for i in 0..<d {
      let values = SIMD4(Double(a[i]), Double(b[i]), Double(c[i]), Double(e[i]))
      let difference = SIMD4(repeating: Double(x[i])) - values
      sums += difference * difference
    }
    for lane in 0..<4 { found[first + lane].distance = sums[lane] }
    first += 4
  }
  for place in first..<found.count {
    found[place].distance = squaredDistance(x, codebook + found[place].code * d, width: d)
  }
}
