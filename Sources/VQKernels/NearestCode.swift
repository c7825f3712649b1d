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

/// `sum_l (a[l] - b[l])^2` in Float64, in index order: the distance that defines the nearest code.
@inline(__always)
func squaredDistance(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, width: Int) -> Double {
  var sum = 0.0
  for i in 0..<width {
    let difference = Double(a[i]) - Double(b[i])
    sum += difference * difference
  }
  return sum
}

/// Codes in one tile of scores, and in one block of a tile whose minimum is kept.
private let tileCodes = 512
private let blockCodes = 64

/// A codebook minus its mean, with half the squared norms that the scores need.
private final class CenteredCodebook {
  let source: UnsafePointer<Float>
  let k: Int
  let d: Int
  let center: UnsafeMutablePointer<Float>
  let codes: UnsafeMutablePointer<Float>  // [k, d]
  let halfNorms: UnsafeMutablePointer<Float>  // [k], then +inf up to a whole block
  private(set) var maximumNorm = 0.0
  private(set) var nonFinite: Int?

  /// Whether no score can overflow and the bound's slack factor covers every higher-order term.
  var isProductSafe: Bool { maximumNorm < 1e18 && d <= 1 << 17 }

  init(_ source: UnsafePointer<Float>, codes k: Int, width d: Int) {
    self.source = source
    self.k = k
    self.d = d
    let padded = (k + blockCodes - 1) / blockCodes * blockCodes
    center = .allocate(capacity: max(d, 1))
    codes = .allocate(capacity: max(k * d, 1))
    halfNorms = .allocate(capacity: padded)
    halfNorms.initialize(repeating: .infinity, count: padded)

    let sums = UnsafeMutablePointer<Double>.allocate(capacity: max(d, 1))
    defer { sums.deallocate() }
    sums.initialize(repeating: 0, count: d)
    for j in 0..<k {
      let row = source + j * d
      for i in 0..<d { sums[i] += Double(row[i]) }
    }
    for i in 0..<d { center[i] = Float(sums[i] / Double(k)) }

    let grain = max(1, elementGrain / max(d, 1))
    let parts = (k + grain - 1) / grain
    var largest = [Double](repeating: 0, count: parts)
    var bad = [Int](repeating: k * d, count: parts)
    let (center, codes, halfNorms) = (center, codes, halfNorms)
    largest.withUnsafeMutableBufferPointer { largest in
      bad.withUnsafeMutableBufferPointer { bad in
        parallelFor(k, grain: grain) { range in
          let part = range.lowerBound / grain
          for j in range {
            let row = source + j * d
            let out = codes + j * d
            for i in 0..<d { out[i] = row[i] - center[i] }
            let squares = squaredDistance(row, center, width: d)
            halfNorms[j] = Float(squares / 2)
            largest[part] = max(largest[part], squares)
            if !squares.isFinite, let first = firstNonFinite(row, count: d) {
              bad[part] = min(bad[part], j * d + first)
            }
          }
        }
      }
    }
    if let first = bad.min(), first < k * d { nonFinite = first }
    maximumNorm = (largest.max() ?? 0).squareRoot()
  }

  deinit {
    center.deallocate()
    codes.deallocate()
    halfNorms.deallocate()
  }

  /// How far a float32 score of a point at distance `norm` from the centre can be from the exact
  /// `|E|^2/2 - X.E`, where X = x - c, E = e - c and M >= |E|, u = 2^-24:
  ///
  /// - the dot product in any order, gamma_d |X| M, and its operands' rounding, (2u + u^2) |X| M;
  /// - half the norm rounded to float32, u M^2/2, and the subtraction, u (M^2/2 + |X| M).
  ///
  /// In all (d + 3) u |X| M + u M^2, and 1.1 covers the second order while d u < 2^-7. The second
  /// term is the Float64 rounding of the defining sum; the third, underflow of single products.
  func bound(_ norm: Double) -> Double {
    let width = Double(d)
    let first = 0x1p-24 * maximumNorm * ((width + 6) * norm + maximumNorm)
    let reach = norm + maximumNorm
    return 1.1 * first + (width + 4) * 0x1p-52 * reach * reach + (width + 4) * 0x1p-125
      * (1 + reach)
  }
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
    let underflow = 2e-18 * Double(d).squareRoot()
    for r in 0..<range.count {
      let row = x + (range.lowerBound + r) * d
      let out = points + r * d
      for i in 0..<d { out[i] = row[i] - codebook.center[i] }
      let squares = squaredLength(out, count: d)
      if !squares.isFinite, let bad = firstNonFinite(row, count: d) {
        return (range.lowerBound + r) * d + bad
      }
      // Below 1e-36 d the squares may have underflowed; above, they lost less than 2%.
      let norm = max(1.02 * Double(squares).squareRoot(), underflow)
      let isSafe = norm < 1e18 && norm * codebook.maximumNorm < 1e36
      margin[r] = isSafe ? Float(2 * codebook.bound(norm)).nextUp : .infinity
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

@inline(__always)
private func scoreVector(
  _ halfNorms: UnsafePointer<Float>, _ dots: UnsafePointer<Float>, _ start: Int
) -> SIMD16<Float> {
  loadVector(halfNorms + start) - loadVector(dots + start)
}

@inline(__always)
private func smallest(_ vector: SIMD16<Float>) -> Float {
  let half = vector.lowHalf.replacing(
    with: vector.highHalf, where: vector.highHalf .< vector.lowHalf)
  let quarter = half.lowHalf.replacing(with: half.highHalf, where: half.highHalf .< half.lowHalf)
  return min(min(quarter[0], quarter[1]), min(quarter[2], quarter[3]))
}

/// The codebook in Float64, codes along the rows: eight defining sums at a time.
private final class TransposedCodebook {
  let columns: UnsafeMutablePointer<Double>  // [d, k padded to 8]
  let k: Int
  let d: Int
  let stride: Int

  init(_ source: UnsafePointer<Float>, codes k: Int, width d: Int) {
    self.k = k
    self.d = d
    stride = (k + 7) / 8 * 8
    columns = .allocate(capacity: max(stride * d, 1))
    columns.initialize(repeating: 0, count: stride * d)
    for j in 0..<k {
      for i in 0..<d { columns[i * stride + j] = Double(source[j * d + i]) }
    }
  }

  deinit { columns.deallocate() }

  func nearest(_ x: UnsafePointer<Float>) -> Int32 {
    var least = Double.infinity
    var nearest = 0
    for first in Swift.stride(from: 0, to: k, by: 8) {
      var sums = SIMD8<Double>()
      for i in 0..<d {
        let column = UnsafeRawPointer(columns + i * stride + first)
        let difference =
          SIMD8<Double>(repeating: Double(x[i])) - column.loadUnaligned(as: SIMD8<Double>.self)
        sums += difference * difference
      }
      for lane in 0..<min(8, k - first) where sums[lane] < least {
        least = sums[lane]
        nearest = first + lane
      }
    }
    return Int32(nearest)
  }
}
