/// For each of some points the first codes, ascending, whose scores are up to a falling limit.
struct Candidates {
  private static let room = 32

  private let codes: UnsafeMutablePointer<Int32>  // [rows, room]
  private let scores: UnsafeMutablePointer<Double>  // [rows, room]
  private let counts: UnsafeMutablePointer<Int>  // [rows]; room + 1 where there were more
  private let rows: Int

  init(rows: Int) {
    self.rows = rows
    codes = .allocate(capacity: rows * Self.room)
    scores = .allocate(capacity: rows * Self.room)
    counts = .allocate(capacity: rows)
    clear()
  }

  func deallocate() {
    codes.deallocate()
    scores.deallocate()
    counts.deallocate()
  }

  func clear() { counts.initialize(repeating: 0, count: rows) }

  /// Whether there were more than this holds.
  func areMany(_ row: Int) -> Bool { counts[row] > Self.room }

  func giveUp(_ row: Int) { counts[row] = Self.room + 1 }

  /// Adds those of `count` codes from `first` on, in order.
  func add(
    _ row: Int, _ found: UnsafePointer<Double>, count: Int, first: Int, limit: Double,
    _ kernels: TileKernels
  ) {
    if areMany(row) { return }
    withUnsafeTemporaryAllocation(of: Int32.self, capacity: Self.room) { places in
      let new = kernels.placesUpTo(limit, found, count, places.baseAddress!, Self.room)
      if new == 0 { return }
      let kept = prune(row, limit)
      guard kept + new <= Self.room else {
        giveUp(row)
        return
      }
      for (index, place) in places[..<new].enumerated() {
        codes[row * Self.room + kept + index] = Int32(first) + place
        scores[row * Self.room + kept + index] = found[Int(place)]
      }
      counts[row] = kept + new
    }
  }

  /// Drops those of a row above the limit, unless there were too many.
  private func prune(_ row: Int, _ limit: Double) -> Int {
    let (codes, scores) = (codes + row * Self.room, scores + row * Self.room)
    var kept = 0
    for place in 0..<counts[row] where scores[place] <= limit {
      (codes[kept], scores[kept]) = (codes[place], scores[place])
      kept += 1
    }
    counts[row] = kept
    return kept
  }

  /// Those of a row up to the limit; nil where there were too many.
  func left(_ row: Int, limit: Double) -> UnsafeBufferPointer<Int32>? {
    if areMany(row) { return nil }
    return UnsafeBufferPointer(start: codes + row * Self.room, count: prune(row, limit))
  }
}
