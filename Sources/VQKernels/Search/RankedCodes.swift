import COpenBLAS
import CPlatform

/// The `wanted` codes nearest to each point, nearest first, by the definition of `nearestCode`:
/// codes and squared distances [n, wanted], `wanted` in 1...k.
///
/// - Returns: where an input is not finite; the outputs are then undefined.
public func rankedCodes(
  _ x: UnsafePointer<Float>, count n: Int, _ codebook: UnsafePointer<Float>, codes k: Int,
  width d: Int, wanted: Int, _ codes: UnsafeMutablePointer<Int32>,
  squaredDistances: UnsafeMutablePointer<Float>
) -> NonFiniteInput? {
  rank(
    x, count: n, codebook, codes: k, width: d, wanted: wanted, codes,
    squaredDistances: squaredDistances)
}

/// The same of Float64 inputs.
public func rankedCodes(
  _ x: UnsafePointer<Double>, count n: Int, _ codebook: UnsafePointer<Double>, codes k: Int,
  width d: Int, wanted: Int, _ codes: UnsafeMutablePointer<Int32>,
  squaredDistances: UnsafeMutablePointer<Double>
) -> NonFiniteInput? {
  rank(
    x, count: n, codebook, codes: k, width: d, wanted: wanted, codes,
    squaredDistances: squaredDistances)
}

private func rank<Element: SearchElement>(
  _ x: UnsafePointer<Element>, count n: Int, _ codebook: UnsafePointer<Element>, codes k: Int,
  width d: Int, wanted: Int, _ codes: UnsafeMutablePointer<Int32>,
  squaredDistances: UnsafeMutablePointer<Element>
) -> NonFiniteInput? {
  let underflow = GradualUnderflow()
  defer { underflow.end() }
  let centered = CenteredCodebook(codebook, codes: k, width: d, isScaled: true, wanted: wanted)
  if let index = centered.nonFinite { return .code(index) }
  useOneProductThread()
  let rows = CandidateSearch<Element>.chunkRows(wanted: wanted, width: d)
  var firstBad = [Int](repeating: n * d, count: (n + rows - 1) / rows)
  // Chunks that go without scores after one in which they have decided less than half of the
  // points.
  let skips = UnsafeMutablePointer<vq_atomic>.allocate(capacity: 1)
  defer { skips.deallocate() }
  skips.initialize(to: vq_atomic(value: 0))
  firstBad.withUnsafeMutableBufferPointer { firstBad in
    parallelFor(n, grain: rows) { range in
      let search = CandidateSearch(centered, x, range, wanted: wanted)
      defer { search.deallocate() }
      if let bad = search.center() {
        firstBad[range.lowerBound / rows] = bad
        return
      }
      if vq_atomic_add(skips, -1) > 0 {
        for row in range { codes[row * wanted] = -1 }
        return
      }
      var undecided = 0
      search.scanTiles { _, first, columns, scores in
        subtractFrom(centered.halfNorms + first, scores, count: columns)
      }
      withUnsafeTemporaryAllocation(of: RankedCode.self, capacity: k) { ranked in
        for r in 0..<range.count {
          let row = range.lowerBound + r
          // The exact search costs about as much as the distances of a few candidates in sixteen.
          guard let candidates = search.candidates(r), candidates.count <= max(wanted + 16, k / 16)
          else {
            codes[row * wanted] = -1
            undecided += 1
            continue
          }
          for i in 0..<candidates.count { ranked[i].code = candidates[i].code }
          let found = UnsafeMutableBufferPointer(rebasing: ranked[..<candidates.count])
          measureDistances(found, x + row * d, codebook, width: d)
          give(found, wanted, codes + row * wanted, squaredDistances + row * wanted)
        }
      }
      vq_atomic_store(skips, 2 * undecided > range.count ? 15 : 0)
    }
  }
  if let bad = firstBad.min(), bad < n * d { return .point(bad) }
  if loopIsStopped() { return nil }

  let wide = (0..<n).filter { codes[$0 * wanted] < 0 }
  if wide.isEmpty { return nil }
  let exact = ExactCodebook(codebook, centered, wanted: wanted, .usable)
  parallelFor(wide.count, grain: ExactCodebook.rows) { range, stop in
    exact.rank(x, codebook, rows: wide[range], wanted: wanted, stop) { row, found in
      give(found, wanted, codes + row * wanted, squaredDistances + row * wanted)
    }
  }
  return nil
}

/// Writes the `wanted` nearest of `found`, nearest first.
private func give<Element: SearchElement>(
  _ found: UnsafeMutableBufferPointer<RankedCode>, _ wanted: Int,
  _ codes: UnsafeMutablePointer<Int32>, _ distances: UnsafeMutablePointer<Element>
) {
  moveFirst(wanted, found.baseAddress!, count: found.count, before: RankedCode.isBefore)
  var nearest = UnsafeMutableBufferPointer(rebasing: found[..<wanted])
  nearest.sort(by: RankedCode.isBefore)
  for place in 0..<wanted {
    codes[place] = Int32(nearest[place].code)
    distances[place] = Element(nearest[place].distance)
  }
}

private func subtractFrom(
  _ halfNorms: UnsafePointer<Float>, _ scores: UnsafeMutablePointer<Float>, count: Int
) {
  for j in 0..<count { scores[j] = halfNorms[j] - scores[j] }
}
