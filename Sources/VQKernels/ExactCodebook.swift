import VQTiles

/// A codebook in Float64, in tiles of codes, for the search by the definition.
final class ExactCodebook {
  /// Points that a thread takes at once.
  static let rows = 16

  private let d: Int
  private let tileCount: Int
  /// The lowest code of each of the distinct ones that the tiles hold, ascending.
  private let distinct: [Int32]
  /// The place of each code among them.
  private let places: [Int32]
  private let tiles: UnsafeMutablePointer<Double>  // [tileCount, d, exactCodes]
  private let kernels: TileKernels
  /// Below this squares underflow: of float32 elements, none does.
  private let leastSafe: Double

  init<Element: SearchElement>(
    _ source: UnsafePointer<Element>, codes k: Int, width d: Int, _ kernels: TileKernels
  ) {
    (self.d, self.kernels) = (d, kernels)
    leastSafe = Element.self == Float.self ? 0 : 0x1p-900
    var seen: [[Element]: Int32] = [:]
    var (distinct, places): ([Int32], [Int32]) = ([], [])
    for j in 0..<k {
      let row = Array(UnsafeBufferPointer(start: source + j * d, count: d))
      let place = seen[row] ?? Int32(distinct.count)
      places.append(place)
      guard Int(place) == distinct.count else { continue }
      seen[row] = place
      distinct.append(Int32(j))
    }
    (self.distinct, self.places) = (distinct, places)
    let count = distinct.count
    let tileCount = (count - 1) / exactCodes + 1
    self.tileCount = tileCount
    let tiles = UnsafeMutablePointer<Double>.allocate(capacity: tileCount * d * exactCodes)
    self.tiles = tiles
    parallelFor(tileCount, grain: max(1, elementGrain / (d * exactCodes))) { range in
      for tile in range {
        let target = tiles + tile * d * exactCodes
        for lane in 0..<exactCodes {
          let place = tile * exactCodes + lane
          let row = source + Int(distinct[min(place, count - 1)]) * d
          for i in 0..<d {
            target[i * exactCodes + lane] = place < count ? Double(row[i]) : .infinity
          }
        }
      }
    }
  }

  deinit { tiles.deallocate() }

  /// Tiles that stay in a core's cache while four points after four meet them.
  private var block: Int { min(tileCount, max(1, (1 << 16) / (d * exactCodes * 8))) }

  /// `codes[rows[i]]` = the nearest code of row `rows[i]` of `x`.
  func findNearest<Element: SearchElement>(
    _ x: UnsafePointer<Element>, rows: ArraySlice<Int>, _ codes: UnsafeMutablePointer<Int32>,
    _ stop: LoopStop
  ) {
    var skips = 0
    for first in stride(from: rows.startIndex, to: rows.endIndex, by: Self.rows) {
      if stop.isRequested { return }
      let own = rows[first..<min(first + Self.rows, rows.endIndex)]
      withPoints(x, rows: own) { points in
        let undecided = skips > 0 ? Array(own.indices) : screen(points, own, codes)
        skips = skips > 0 ? skips - 1 : 2 * undecided.count > own.count ? 15 : 0
        findByDefinition(points, own, undecided, codes, stop)
      }
    }
  }

  /// Codes of the rows by sums whose products are not rounded before they are added: within `(d + 3) 2^-53` of
  /// those of the definition, which ranks the few that this leaves. Returns the rows that are left with many.
  private func screen(
    _ points: UnsafePointer<Double>, _ rows: ArraySlice<Int>, _ codes: UnsafeMutablePointer<Int32>
  ) -> [Int] {
    var left = [Candidates](repeating: Candidates(), count: Self.rows)
    let tolerance = 1 + Double(d + 4) * 0x1p-51
    let width = block * exactCodes
    withUnsafeTemporaryAllocation(of: Double.self, capacity: 4 * width + Self.rows) { memory in
      let (distances, least) = (memory.baseAddress!, memory.baseAddress! + 4 * width)
      least.initialize(repeating: .infinity, count: Self.rows)
      for first in stride(from: 0, to: tileCount, by: block) {
        let count = min(block, tileCount - first)
        for r in stride(from: 0, to: rows.count, by: 4) {
          kernels.distancesNearly(
            points + r * d, tiles + first * d * exactCodes, d, count, distances, width, least + r)
          for place in r..<r + 4 {
            left[place].add(
              distances + (place - r) * width, count: count * exactCodes,
              first: first * exactCodes, limit: least[place] * tolerance, kernels)
          }
        }
      }
      for place in 0..<rows.count {
        left[place].prune(least[place] * tolerance)
        if !(least[place] >= leastSafe && least[place].isFinite) { left[place].areMany = true }
      }
    }
    var undecided: [Int] = []
    for (place, index) in rows.indices.enumerated() {
      if left[place].areMany {
        undecided.append(index)
      } else {
        codes[rows[index]] = distinct[Int(nearest(points + place * d, left[place]))]
      }
    }
    return undecided
  }

  private func nearest(_ point: UnsafePointer<Double>, _ left: Candidates) -> Int32 {
    var (code, shortest) = (left.codes[0], Double.infinity)
    for place in 0..<left.count where left.count > 1 {
      let candidate = left.codes[place]
      let distance = distance(point, Int(candidate))
      if distance < shortest { (code, shortest) = (candidate, distance) }
    }
    return code
  }

  private func distance(_ point: UnsafePointer<Double>, _ code: Int) -> Double {
    var column = tiles + code / exactCodes * d * exactCodes + code % exactCodes
    var sum = 0.0
    for i in 0..<d {
      let difference = point[i] - column.pointee
      sum += difference * difference
      column += exactCodes
    }
    return sum
  }

  private func findByDefinition(
    _ points: UnsafeMutablePointer<Double>, _ rows: ArraySlice<Int>, _ undecided: [Int],
    _ codes: UnsafeMutablePointer<Int32>, _ stop: LoopStop
  ) {
    for (place, index) in undecided.enumerated() {
      let from = index - rows.startIndex
      if from > place { (points + place * d).update(from: points + from * d, count: d) }
    }
    var least = [Double](repeating: .infinity, count: Self.rows)
    var nearest = [Int32](repeating: 0, count: Self.rows)
    least.withUnsafeMutableBufferPointer { least in
      nearest.withUnsafeMutableBufferPointer { nearest in
        for first in stride(from: 0, to: undecided.isEmpty ? 0 : tileCount, by: block) {
          if stop.isRequested { return }
          let count = min(block, tileCount - first)
          for r in stride(from: 0, to: undecided.count, by: 4) {
            kernels.nearestExactly(
              points + r * d, tiles + first * d * exactCodes, d, count, Int32(first * exactCodes),
              least.baseAddress! + r, nearest.baseAddress! + r)
          }
        }
      }
    }
    for (place, index) in undecided.enumerated() {
      codes[rows[index]] = distinct[Int(nearest[place])]
    }
  }

  /// Calls `body` with the squared distances of each of `rows` to all codes, [k], by the definition.
  func measure<Element: SearchElement>(
    _ x: UnsafePointer<Element>, rows: ArraySlice<Int>, _ stop: LoopStop,
    _ body: (_ row: Int, _ distances: UnsafePointer<Double>) -> Void
  ) {
    let stride = tileCount * exactCodes
    let k = places.count
    let distances = UnsafeMutablePointer<Double>.allocate(capacity: 4 * stride + k)
    defer { distances.deallocate() }
    let all = distances + 4 * stride
    withPoints(x, rows: rows) { points in
      for r in Swift.stride(from: 0, to: rows.count, by: 4) {
        for first in Swift.stride(from: 0, to: tileCount, by: block) {
          if stop.isRequested { return }
          kernels.distancesExactly(
            points + r * d, tiles + first * d * exactCodes, d, min(block, tileCount - first),
            distances + first * exactCodes, stride)
        }
        for place in r..<min(r + 4, rows.count) {
          let own = distances + (place - r) * stride
          if distinct.count < k {
            for code in 0..<k { all[code] = own[Int(places[code])] }
          }
          body(rows[rows.startIndex + place], distinct.count < k ? all : own)
        }
      }
    }
  }

  /// The rows in Float64, [ExactCodebook.rows, d], 0 behind the last.
  private func withPoints<Element: SearchElement>(
    _ x: UnsafePointer<Element>, rows: ArraySlice<Int>,
    _ body: (UnsafeMutablePointer<Double>) -> Void
  ) {
    let points = UnsafeMutablePointer<Double>.allocate(capacity: Self.rows * d)
    defer { points.deallocate() }
    points.initialize(repeating: 0, count: Self.rows * d)
    for (place, row) in rows.enumerated() {
      for i in 0..<d { points[place * d + i] = Double(x[row * d + i]) }
    }
    body(points)
  }
}
