import COpenBLAS

/// The first element of an input that is NaN or infinite, by flat index.
public enum NonFiniteInput: Equatable {
  case point(Int)
  case code(Int)
}

/// `codes[i] = argmin_j sum_l (x[i, l] - codebook[j, l])^2`, the sum taken in Float64 in index order of
/// the float32 inputs, the lowest index on equality. `x` is [n, d], `codebook` [k, d]; k is at least 1.
///
/// The float32 product form ranks the codes; where its margin is below the rounding bound of
/// `CenteredCodebook.bound`, the codes within the bound are ranked by the definition. So the answer
/// depends neither on chunks, nor on threads, nor on how the product was summed.
///
/// - Returns: where an input is not finite; the outputs are then undefined.
public func nearestCode(
  _ x: UnsafePointer<Float>, count n: Int, _ codebook: UnsafePointer<Float>, codes k: Int,
  width d: Int, _ codes: UnsafeMutablePointer<Int32>,
  squaredDistances: UnsafeMutablePointer<Float>? = nil
) -> NonFiniteInput? {
  let centered = CenteredCodebook(codebook, codes: k, width: d)
  if let index = centered.nonFinite { return .code(index) }
  if n == 0 { return nil }
  openblas_set_num_threads(1)

  let share = (n + 4 * threadCount - 1) / (4 * threadCount)
  let rows = max(16, min(256, share, (1 << 17) / max(d, 1)))
  let chunks = (n + rows - 1) / rows
  var firstBad = [Int](repeating: n * d, count: chunks)
  var wideRows = [Int](repeating: 0, count: chunks)
  firstBad.withUnsafeMutableBufferPointer { firstBad in
    wideRows.withUnsafeMutableBufferPointer { wideRows in
      parallelFor(n, grain: rows) { range in
        let chunk = range.lowerBound / rows
        var search = ChunkSearch(centered, x, range)
        defer { search.deallocate() }
        if let bad = search.center() {
          firstBad[chunk] = bad
          return
        }
        if centered.isProductSafe { search.scanTiles() }
        wideRows[chunk] = search.finish(codes)
      }
    }
  }
  if let bad = firstBad.min(), bad < n * d { return .point(bad) }

  if wideRows.contains(where: { $0 > 0 }) {
    let exact = TransposedCodebook(codebook, codes: k, width: d)
    parallelFor(n, grain: 16) { range in
      for row in range where codes[row] < 0 { codes[row] = exact.nearest(x + row * d) }
    }
  }
  if let squaredDistances {
    parallelFor(n, grain: max(1, elementGrain / max(d, 1))) { range in
      for row in range {
        squaredDistances[row] = Float(
          squaredDistance(x + row * d, codebook + Int(codes[row]) * d, width: d))
      }
    }
  }
  return nil
}

/// The search of one chunk of points: centre them, score tiles of codes, keep what the bound leaves.
private struct ChunkSearch {
  /// Candidates that a point keeps; one with more is ranked over the whole codebook.
  static let capacity = 8

  let codebook: CenteredCodebook
  let x: UnsafePointer<Float>
  let range: Range<Int>
  let points: UnsafeMutablePointer<Float>  // [rows, d], centred
  let scores: UnsafeMutablePointer<Float>  // [rows, tile]
  let best: UnsafeMutablePointer<Float>  // [rows]
  let margin: UnsafeMutablePointer<Float>  // [rows], twice the bound; +inf: rank by the definition
  let kept: UnsafeMutablePointer<Int32>  // [rows]
  let keptCodes: UnsafeMutablePointer<Int32>  // [rows, capacity]
  let keptScores: UnsafeMutablePointer<Float>  // [rows, capacity]

  init(_ codebook: CenteredCodebook, _ x: UnsafePointer<Float>, _ range: Range<Int>) {
    self.codebook = codebook
    self.x = x
    self.range = range
    let rows = range.count
    points = .allocate(capacity: max(rows * codebook.d, 1))
    scores = .allocate(capacity: rows * tileCodes)
    best = .allocate(capacity: rows)
    margin = .allocate(capacity: rows)
    kept = .allocate(capacity: rows)
    keptCodes = .allocate(capacity: rows * Self.capacity)
    keptScores = .allocate(capacity: rows * Self.capacity)
    best.initialize(repeating: .infinity, count: rows)
    kept.initialize(repeating: 0, count: rows)
  }

  func deallocate() {
    points.deallocate()
    scores.deallocate()
    best.deallocate()
    margin.deallocate()
    kept.deallocate()
    keptCodes.deallocate()
    keptScores.deallocate()
  }

  /// Subtracts the centre and bounds the scores; returns the first element that is not finite.
  mutating func center() -> Int? {
    let d = codebook.d
    for r in 0..<range.count {
      let row = x + (range.lowerBound + r) * d
      guard let norm = codebook.center(row, points + r * d) else {
        return (range.lowerBound + r) * d + (firstNonFinite(row, count: d) ?? 0)
      }
      margin[r] = codebook.margin(norm)
    }
    return nil
  }

  mutating func scanTiles() {
    let (k, d, rows) = (codebook.k, codebook.d, range.count)
    var first = 0
    while first < k {
      let columns = min(tileCodes, k - first)
      let blocks = (columns + blockCodes - 1) / blockCodes
      cblas_sgemm(
        CblasRowMajor, CblasNoTrans, CblasTrans, Int32(rows), Int32(columns), Int32(d), 1,
        points, Int32(max(d, 1)), codebook.codes + first * d, Int32(max(d, 1)), 0,
        scores, Int32(tileCodes))
      for r in 0..<rows where margin[r] < .infinity {
        let row = scores + r * tileCodes
        for j in columns..<blocks * blockCodes { row[j] = 0 }
        keepCandidates(r, row, first: first, blocks: blocks)
      }
      first += columns
    }
  }

  /// Adds the codes of one tile whose score is within the margin of the best so far.
  @inline(__always)
  private mutating func keepCandidates(
    _ r: Int, _ dots: UnsafePointer<Float>, first: Int, blocks: Int
  ) {
    let halfNorms = UnsafePointer(codebook.halfNorms + first)
    withUnsafeTemporaryAllocation(of: Float.self, capacity: tileCodes / blockCodes) { minima in
      var lowest = Float.infinity
      for block in 0..<blocks {
        var minimum = SIMD16<Float>(repeating: .infinity)
        for lane in 0..<blockCodes / 16 {
          let score = scoreVector(halfNorms, dots, block * blockCodes + lane * 16)
          minimum.replace(with: score, where: score .< minimum)
        }
        minima[block] = smallest(minimum)
        lowest = min(lowest, minima[block])
      }
      best[r] = min(best[r], lowest)
      let limit = (best[r] + margin[r]).nextUp
      if lowest > limit { return }
      for block in 0..<blocks where minima[block] <= limit {
        for lane in 0..<blockCodes / 16 {
          let start = block * blockCodes + lane * 16
          let score = scoreVector(halfNorms, dots, start)
          if smallest(score) > limit { continue }
          for i in 0..<16 where score[i] <= limit { keep(r, first + start + i, score[i], limit) }
        }
      }
    }
  }

  private func keep(_ r: Int, _ code: Int, _ score: Float, _ limit: Float) {
    if margin[r] == .infinity { return }
    let codes = keptCodes + r * Self.capacity
    let scores = keptScores + r * Self.capacity
    if kept[r] == Self.capacity { prune(r, limit) }
    guard kept[r] < Self.capacity else {
      margin[r] = .infinity
      return
    }
    codes[Int(kept[r])] = Int32(code)
    scores[Int(kept[r])] = score
    kept[r] += 1
  }

  /// Drops the candidates that a later, better score put out of reach.
  private func prune(_ r: Int, _ limit: Float) {
    let codes = keptCodes + r * Self.capacity
    let scores = keptScores + r * Self.capacity
    var count = 0
    for i in 0..<Int(kept[r]) where scores[i] <= limit {
      codes[count] = codes[i]
      scores[count] = scores[i]
      count += 1
    }
    kept[r] = Int32(count)
  }

  /// Writes the codes; -1 for points that need the whole codebook, whose number it returns.
  func finish(_ out: UnsafeMutablePointer<Int32>) -> Int {
    var wide = 0
    for r in 0..<range.count {
      let row = range.lowerBound + r
      guard codebook.isProductSafe, margin[r] < .infinity else {
        out[row] = -1
        wide += 1
        continue
      }
      prune(r, (best[r] + margin[r]).nextUp)
      let codes = keptCodes + r * Self.capacity
      var nearest = codes[0]
      if kept[r] > 1 {
        var least = Double.infinity
        for i in 0..<Int(kept[r]) {
          let distance = squaredDistance(
            x + row * codebook.d, codebook.source + Int(codes[i]) * codebook.d, width: codebook.d)
          if distance < least {
            least = distance
            nearest = codes[i]
          }
        }
      }
      out[row] = nearest
    }
    return wide
  }
}
