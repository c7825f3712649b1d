import COpenBLAS

/// A code and how it ranks: by a float32 score while it is a candidate, then exactly.
struct Candidate {
  var score: Double
  var code: Int32

  /// By score, the lower code first on equality.
  static func isBefore(_ a: Candidate, _ b: Candidate) -> Bool {
    a.score < b.score || (a.score == b.score && a.code < b.code)
  }
}

/// Looks for the codes of the `wanted` lowest scores of each point in a chunk: float32 scores by tiles of
/// codes, of which it keeps those within the margin of the best.
///
/// The kept codes include the right ones, and are to be ranked by the definition.
struct CandidateSearch {
  let codebook: CenteredCodebook
  let x: UnsafePointer<Float>
  let range: Range<Int>
  let wanted: Int
  private let capacity: Int
  private let points: UnsafeMutablePointer<Float>  // [rows, d], centred
  private let scores: UnsafeMutablePointer<Float>  // [rows, tile]
  private let margin: UnsafeMutablePointer<Float>  // [rows]; +inf: rank all codes by the definition
  private let limit: UnsafeMutablePointer<Float>  // [rows], of the scores still taken
  private let kept: UnsafeMutablePointer<Int>  // [rows]
  private let candidates: UnsafeMutablePointer<Candidate>  // [rows, capacity]

  /// Points of one chunk, such that it holds about 4 MB.
  static func chunkRows(wanted: Int, width d: Int) -> Int {
    max(1, min(256, (1 << 17) / max(d, 1), (1 << 18) / capacity(wanted)))
  }

  private static func capacity(_ wanted: Int) -> Int { 2 * wanted + 14 }

  init(
    _ codebook: CenteredCodebook, _ x: UnsafePointer<Float>, _ range: Range<Int>, wanted: Int
  ) {
    (self.codebook, self.x, self.range, self.wanted) = (codebook, x, range, wanted)
    let rows = range.count
    capacity = Self.capacity(wanted)
    points = .allocate(capacity: max(rows * codebook.d, 1))
    scores = .allocate(capacity: rows * tileCodes)
    margin = .allocate(capacity: rows)
    limit = .allocate(capacity: rows)
    kept = .allocate(capacity: rows)
    candidates = .allocate(capacity: rows * capacity)
    limit.initialize(repeating: .infinity, count: rows)
    kept.initialize(repeating: 0, count: rows)
  }

  func deallocate() {
    points.deallocate()
    scores.deallocate()
    margin.deallocate()
    limit.deallocate()
    kept.deallocate()
    candidates.deallocate()
  }

  /// Subtracts the centre and bounds the scores, `extra` being what the caller's own terms add to the bound
  /// for a point of that distance from the centre; returns the first element that is not finite.
  func center(extra: (_ norm: Double) -> Double = { _ in 0 }) -> Int? {
    let d = codebook.d
    for r in 0..<range.count {
      let row = x + (range.lowerBound + r) * d
      guard let norm = codebook.center(row, points + r * d) else {
        return (range.lowerBound + r) * d + (firstNonFinite(row, count: d) ?? 0)
      }
      margin[r] = codebook.isProductSafe ? codebook.margin(norm, extra: extra(norm)) : .infinity
    }
    return nil
  }

  /// `score` turns the products `X . E` of a point, by its place in the chunk, with `columns` codes from
  /// `first` on into scores.
  func scanTiles(
    _ score: (_ r: Int, _ first: Int, _ columns: Int, _ x: UnsafeMutablePointer<Float>) -> Void
  ) {
    let (k, d, rows) = (codebook.k, codebook.d, range.count)
    for first in stride(from: 0, to: k, by: tileCodes) {
      let columns = min(tileCodes, k - first)
      cblas_sgemm(
        CblasRowMajor, CblasNoTrans, CblasTrans, Int32(rows), Int32(columns), Int32(d), 1, points,
        Int32(d), codebook.codes + first * d, Int32(d), 0, scores, Int32(tileCodes))
      for r in 0..<rows where margin[r] < .infinity {
        let row = scores + r * tileCodes
        score(r, first, columns, row)
        for j in columns..<(columns + 15) / 16 * 16 { row[j] = .infinity }
        keep(r, row, first: first, columns: columns)
      }
    }
  }

  /// The candidates of a point; nil where all codes must be ranked.
  func candidates(_ r: Int) -> UnsafeMutableBufferPointer<Candidate>? {
    guard margin[r] < .infinity else { return nil }
    prune(r)
    return UnsafeMutableBufferPointer(start: candidates + r * capacity, count: kept[r])
  }

  private func keep(_ r: Int, _ scores: UnsafePointer<Float>, first: Int, columns: Int) {
    for start in stride(from: 0, to: columns, by: 16) {
      let vector = loadVector(scores + start)
      if smallest(vector) > limit[r] { continue }
      for i in 0..<16 where vector[i] <= limit[r] && start + i < columns {
        if kept[r] == capacity { prune(r) }
        guard kept[r] < capacity else {
          margin[r] = .infinity
          return
        }
        guard vector[i] <= limit[r] else { continue }
        candidates[r * capacity + kept[r]] = Candidate(
          score: Double(vector[i]), code: Int32(first + start + i))
        kept[r] += 1
      }
    }
  }

  /// Lowers the limit to the margin above the last of the wanted scores, and drops what lies above.
  private func prune(_ r: Int) {
    guard kept[r] > wanted else { return }
    var own = UnsafeMutableBufferPointer(start: candidates + r * capacity, count: kept[r])
    own.sort(by: Candidate.isBefore)
    limit[r] = (Float(own[wanted - 1].score) + margin[r]).nextUp
    while Float(own[kept[r] - 1].score) > limit[r] { kept[r] -= 1 }
  }
}
