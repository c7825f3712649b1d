import COpenBLAS
import Glibc

/// Codes drawn with `p_ij ~ exp(-|x_i - E_j|^2 / T)`: `codes[i] = argmin_j |x_i - E_j|^2 - T g_ij`
/// in Float64, the lowest index on equality, with g Gumbel numbers (Gumbel-max).
///
/// `g_ij = -log(-log u)`, `u = (w + 1/2) / 2^32` for word `i k' + j` of `state`, k' the next
/// multiple of 4 from k on: it depends on nothing but the place. float32 scores leave candidates,
/// which Float64 ranks.
///
/// - Returns: where an input is not finite; the outputs are then undefined.
public func sampledCode(
  _ x: UnsafePointer<Float>, count n: Int, _ codebook: UnsafePointer<Float>, codes k: Int,
  width d: Int, temperature: Float, state: RandomState, _ codes: UnsafeMutablePointer<Int32>
) -> NonFiniteInput? {
  let underflow = GradualUnderflow()
  defer { underflow.end() }
  let centered = CenteredCodebook(codebook, codes: k, width: d)
  if let index = centered.nonFinite { return .code(index) }
  let noise = GumbelNoise(state, codes: k)
  useOneProductThread()
  let rows = CandidateSearch<Float>.chunkRows(wanted: 1, width: d)
  var firstBad = [Int](repeating: n * d, count: (n + rows - 1) / rows)
  firstBad.withUnsafeMutableBufferPointer { firstBad in
    parallelFor(n, grain: rows) { range in
      let search = CandidateSearch(centered, x, range, wanted: 1)
      defer { search.deallocate() }
      // g is within 2^-17; the subtraction and T g / 2 round once each, |g| < 24.
      let spread = Double(temperature)
      let bad = search.center { norm in
        let reach = norm + centered.maximumNorm
        return 1.1 * (spread * (0x1p-18 + 24 * 0x1p-24) + 0x1p-24 * reach * reach)
      }
      if let bad {
        firstBad[range.lowerBound / rows] = bad
        return
      }
      search.scanTiles { r, first, columns, scores in
        noise.subtract(
          row: range.lowerBound + r, first: first, count: columns, scale: temperature / 2,
          centered.halfNorms + first, scores)
      }
      for r in 0..<range.count {
        let row = range.lowerBound + r
        var (least, best) = (Double.infinity, 0)
        func consider(_ code: Int) {
          let distance = squaredDistance(x + row * d, codebook + code * d, width: d)
          let score = distance - spread * noise.exact(row: row, code: code)
          if score < least || (score == least && code < best) { (least, best) = (score, code) }
        }
        if let candidates = search.candidates(r) {
          for candidate in candidates { consider(candidate.code) }
        } else {
          for code in 0..<k { consider(code) }
        }
        codes[row] = Int32(best)
      }
    }
  }
  if let bad = firstBad.min(), bad < n * d { return .point(bad) }
  return nil
}

/// Gumbel numbers of every point and code.
private struct GumbelNoise {
  let state: RandomState
  let blocks: Int  // of a row, four words each

  init(_ state: RandomState, codes k: Int) {
    self.state = state
    blocks = (k + 3) / 4
  }

  /// In Float64.
  func exact(row: Int, code: Int) -> Double {
    let words = philox(state, UInt64(row * blocks + code / 4))
    return -log(-log((Double(words[code % 4]) + 0.5) * 0x1p-32))
  }

  /// `scores = (halfNorms - scores) - scale g` for `count` codes from `first` on, a multiple of 4.
  func subtract(
    row: Int, first: Int, count: Int, scale: Float, _ halfNorms: UnsafePointer<Float>,
    _ scores: UnsafeMutablePointer<Float>
  ) {
    withUnsafeTemporaryAllocation(of: UInt32.self, capacity: productCodes) { words in
      let words = words.baseAddress!
      fillWords(state, first: row * blocks + first / 4, blocks: (count + 3) / 4, words)
      RandomKernels.usable.subtractGumbelRow(words, scale, halfNorms, scores, count)
    }
  }
}
