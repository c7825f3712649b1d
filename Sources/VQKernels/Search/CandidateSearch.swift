import COpenBLAS

/// A float32 score and a code in one word, which orders by score and then by code.
struct Candidate {
  let word: UInt64

  init(_ score: Float, _ code: Int) {
    let bits = score.bitPattern
    let ordered = bits ^ (bits >> 31 == 0 ? 0x8000_0000 : 0xFFFF_FFFF)
    word = UInt64(ordered) << 32 | UInt64(code)
  }

  var code: Int { Int(word & 0xFFFF_FFFF) }

  var score: Float {
    let ordered = UInt32(word >> 32)
    return Float(bitPattern: ordered ^ (ordered >> 31 == 1 ? 0x8000_0000 : 0xFFFF_FFFF))
  }
}

/// Looks for the codes of the `wanted` lowest scores of each point in a chunk: float32 scores by
/// tiles of codes, of which it keeps those within the margin of the best.
///
/// The kept codes include the right ones, and are to be ranked by the definition.
struct CandidateSearch<Element: SearchElement> {
  let codebook: CenteredCodebook
  let x: UnsafePointer<Element>
  let range: Range<Int>
  let wanted: Int
  private let capacity: Int
  private let points: UnsafeMutablePointer<Float>  // [rows, d], centered
  private let scores: UnsafeMutablePointer<Float>  // [rows, tile]
  private let margin: UnsafeMutablePointer<Float>  // [rows]; +inf: rank all codes by the definition
  private let limit: UnsafeMutablePointer<Float>  // [rows], of the scores still taken
  private let kept: UnsafeMutablePointer<Int>  // [rows]
  private let candidates: UnsafeMutablePointer<Candidate>  // [rows, capacity]

  /// Points of one chunk, such that it holds about 4 MB.
  static func chunkRows(wanted: Int, width d: Int) -> Int {
    max(1, min(256, (1 << 17) / max(d, 1), (1 << 18) / capacity(wanted)))
  }

  /// Sixteen more than are kept, as many are offered at a time.
  private static func capacity(_ wanted: Int) -> Int { 2 * wanted + 32 }

  init(
    _ codebook: CenteredCodebook, _ x: UnsafePointer<Element>, _ range: Range<Int>, wanted: Int
  ) {
    (self.codebook, self.x, self.range, self.wanted) = (codebook, x, range, wanted)
    let rows = range.count
    capacity = Self.capacity(wanted)
    points = .allocate(capacity: max(rows * codebook.d, 1))
    scores = .allocate(capacity: rows * productCodes)
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

  /// Subtracts the center and bounds the scores, `extra` being what the caller's own terms add to
  /// the bound for a point of that distance from the center; returns the first element that is not
  /// finite.
  func center(extra: (_ norm: Double) -> Double = { _ in 0 }) -> Int? {
    let d = codebook.d
    for r in 0..<range.count {
      let row = x + (range.lowerBound + r) * d
      guard let norm = codebook.boundedCenter(row, points + r * d) else {
        return (range.lowerBound + r) * d + ((0..<d).first { !row[$0].isFinite } ?? 0)
      }
      margin[r] = codebook.isProductSafe ? codebook.margin(norm, extra: extra(norm)) : .infinity
    }
    return nil
  }

  /// `score` turns the products `X . E` of a point, by its place in the chunk, with `columns` codes
  /// from `first` on into scores.
  func scanTiles(
    _ score: (_ r: Int, _ first: Int, _ columns: Int, _ x: UnsafeMutablePointer<Float>) -> Void
  ) {
    let (k, d, rows) = (codebook.k, codebook.d, range.count)
    for first in stride(from: 0, to: k, by: productCodes) {
      let columns = min(productCodes, k - first)
      cblas_sgemm(
        CblasRowMajor, CblasNoTrans, CblasTrans, Int32(rows), Int32(columns), Int32(d), 1, points,
        Int32(d), codebook.codes + first * d, Int32(d), 0, scores, Int32(productCodes))
      for r in 0..<rows where margin[r] < .infinity {
        let row = scores + r * productCodes
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
    let own = candidates + r * capacity
    for start in stride(from: 0, to: columns, by: 16) {
      let vector = loadVector(scores + start)
      let bound = limit[r]
      if smallest(vector) > bound { continue }
      var count = kept[r]
      for i in 0..<min(16, columns - start) {
        own[count] = Candidate(vector[i], first + start + i)
        count += vector[i] <= bound ? 1 : 0
      }
      kept[r] = count
      if count <= capacity - 16 { continue }
      prune(r)
      if kept[r] > capacity - 16 {
        margin[r] = .infinity
        return
      }
    }
  }

  /// Lowers the limit to the margin above the last of the wanted scores, and drops what lies above.
  private func prune(_ r: Int) {
    guard kept[r] > wanted else { return }
    let own = candidates + r * capacity
    moveFirst(wanted, own, count: kept[r]) { $0.word < $1.word }
    let bound = (own[wanted - 1].score + margin[r]).nextUp
    var count = wanted
    for i in wanted..<kept[r] {
      own[count] = own[i]
      count += own[i].score <= bound ? 1 : 0
    }
    limit[r] = bound
    kept[r] = count
  }
}
