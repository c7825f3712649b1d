import COpenBLAS

/// The `wanted` codes nearest to each point, nearest first, by the definition of `nearestCode`: codes and
/// squared distances [n, wanted], `wanted` in 1...k.
///
/// - Returns: where an input is not finite; the outputs are then undefined.
public func rankedCodes(
  _ x: UnsafePointer<Float>, count n: Int, _ codebook: UnsafePointer<Float>, codes k: Int,
  width d: Int, wanted: Int, _ codes: UnsafeMutablePointer<Int32>,
  squaredDistances: UnsafeMutablePointer<Float>
) -> NonFiniteInput? {
  let underflow = GradualUnderflow()
  defer { underflow.end() }
  let centered = CenteredCodebook(codebook, codes: k, width: d)
  if let index = centered.nonFinite { return .code(index) }
  useOneProductThread()
  let rows = CandidateSearch.chunkRows(wanted: wanted, width: d)
  var firstBad = [Int](repeating: n * d, count: (n + rows - 1) / rows)
  firstBad.withUnsafeMutableBufferPointer { firstBad in
    parallelFor(n, grain: rows) { range in
      let search = CandidateSearch(centered, x, range, wanted: wanted)
      defer { search.deallocate() }
      if let bad = search.center() {
        firstBad[range.lowerBound / rows] = bad
        return
      }
      search.scanTiles { _, first, columns, scores in
        subtractFrom(centered.halfNorms + first, scores, count: columns)
      }
      withUnsafeTemporaryAllocation(of: RankedCode.self, capacity: k) { ranked in
        for r in 0..<range.count {
          let row = range.lowerBound + r
          var count = k
          if let candidates = search.candidates(r) {
            count = candidates.count
            for i in 0..<count { ranked[i].code = candidates[i].code }
          } else {
            for code in 0..<k { ranked[code].code = code }
          }
          var found = UnsafeMutableBufferPointer(rebasing: ranked[..<count])
          measure(found, x + row * d, codebook, width: d)
          found.sort(by: RankedCode.isBefore)
          for place in 0..<wanted {
            codes[row * wanted + place] = Int32(found[place].code)
            squaredDistances[row * wanted + place] = Float(found[place].distance)
          }
        }
      }
    }
  }
  if let bad = firstBad.min(), bad < n * d { return .point(bad) }
  return nil
}

/// A code and its squared distance by the definition.
private struct RankedCode {
  var distance: Double
  var code: Int

  static func isBefore(_ a: RankedCode, _ b: RankedCode) -> Bool {
    a.distance < b.distance || (a.distance == b.distance && a.code < b.code)
  }
}

/// The distances of `found`, four sums in index order at a time.
private func measure(
  _ found: UnsafeMutableBufferPointer<RankedCode>, _ x: UnsafePointer<Float>,
  _ codebook: UnsafePointer<Float>, width d: Int
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

private func subtractFrom(
  _ halfNorms: UnsafePointer<Float>, _ scores: UnsafeMutablePointer<Float>, count: Int
) {
  for j in 0..<count { scores[j] = halfNorms[j] - scores[j] }
}
