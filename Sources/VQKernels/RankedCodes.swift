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
  let centered = CenteredCodebook(codebook, codes: k, width: d)
  if let index = centered.nonFinite { return .code(index) }
  openblas_set_num_threads(1)
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
      for r in 0..<range.count {
        let row = range.lowerBound + r
        func write(_ found: inout UnsafeMutableBufferPointer<Candidate>) {
          for i in found.indices {
            let code = codebook + Int(found[i].code) * d
            found[i].score = squaredDistance(x + row * d, code, width: d)
          }
          found.sort(by: Candidate.isBefore)
          for place in 0..<wanted {
            codes[row * wanted + place] = found[place].code
            squaredDistances[row * wanted + place] = Float(found[place].score)
          }
        }
        if var candidates = search.candidates(r) {
          write(&candidates)
        } else {
          withUnsafeTemporaryAllocation(of: Candidate.self, capacity: k) { all in
            var all = all
            for code in 0..<k { all[code] = Candidate(score: 0, code: Int32(code)) }
            write(&all)
          }
        }
      }
    }
  }
  if let bad = firstBad.min(), bad < n * d { return .point(bad) }
  return nil
}

private func subtractFrom(
  _ halfNorms: UnsafePointer<Float>, _ scores: UnsafeMutablePointer<Float>, count: Int
) {
  for j in 0..<count { scores[j] = halfNorms[j] - scores[j] }
}
