/// The first codes, ascending, whose distances are up to a falling limit.
struct Candidates {
  private static let room = 32

  var codes = [Int32](repeating: 0, count: room)
  private var distances = [Double](repeating: 0, count: room)
  private(set) var count = 0
  /// Whether there were more than this holds.
  var areMany = false

  /// Adds those of `count` codes from `first` on, in order.
  mutating func add(
    _ found: UnsafePointer<Double>, count: Int, first: Int, limit: Double, _ kernels: TileKernels
  ) {
    if areMany { return }
    withUnsafeTemporaryAllocation(of: Int32.self, capacity: Self.room) { places in
      let new = kernels.placesUpTo(limit, found, count, places.baseAddress!, Self.room)
      if new == 0 { return }
      prune(limit)
      guard self.count + new <= Self.room else {
        areMany = true
        return
      }
      for place in places[..<new] {
        codes[self.count] = Int32(first) + place
        distances[self.count] = found[Int(place)]
        self.count += 1
      }
    }
  }

  mutating func prune(_ limit: Double) {
    var kept = 0
    for place in 0..<count where distances[place] <= limit {
      (codes[kept], distances[kept]) = (codes[place], distances[place])
      kept += 1
    }
    count = kept
  }
}
