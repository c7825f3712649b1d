import Glibc
import VQTiles

/// A codebook in Float64, in tiles of codes, for the search by the definition.
final class ExactCodebook {
  /// Points that a thread takes at once.
  static let rows = 16

  let d: Int
  let tileCount: Int
  /// The lowest code of each of the distinct ones that the tiles hold, ascending.
  let distinct: [Int32]
  /// The place of each code among them.
  let places: [Int32]
  let tiles: UnsafeMutablePointer<Double>  // [tileCount, d, exactCodes]
  let kernels: TileKernels
  let screen: Float64Codebook
  /// The largest and the least magnitude of each element.
  private let largest: [Double]
  private let least: [Double]
  /// The places of the shortest codes, shortest first, and their lengths.
  private let shortest: [(place: Int32, length: Double)]
  /// Codes of like length that a point near 0 may cost.
  private static let mostShort = 16
  /// The codes on both sides of a wide gap; nil where there is none.
  private let sides: CodebookSides?

  init<Element: SearchElement>(
    _ source: UnsafePointer<Element>, _ centered: CenteredCodebook, wanted: Int = 1,
    _ kernels: TileKernels
  ) {
    let (k, d) = (centered.k, centered.d)
    (self.d, self.kernels) = (d, kernels)
    var largest = [Double](repeating: 0, count: d)
    var least = [Double](repeating: .infinity, count: d)
    (distinct, places) = distinctRows(source, count: k, width: d)
    for code in distinct {
      let row = source + Int(code) * d
      for i in 0..<d {
        let magnitude = Double(row[i].magnitude)
        largest[i] = max(largest[i], magnitude)
        least[i] = min(least[i], magnitude)
      }
    }
    (self.largest, self.least) = (largest, least)
    let lengths = distinct.map { code in
      (0..<d).reduce(0.0) {
        let value = Double(source[Int(code) * d + $1])
        return $0 + value * value
      }.squareRoot()
    }
    let order = lengths.indices.sorted { lengths[$0] < lengths[$1] }
    shortest = order.prefix(Self.mostShort + 1).map { (Int32($0), lengths[$0]) }
    screen = Float64Codebook(source, distinct, centered, wanted: wanted, kernels)
    sides =
      wanted == 1
      ? CodebookSides(source, distinct, longest: lengths.max()!, centered, kernels) : nil
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
    let left = Candidates(rows: Self.rows)
    defer { left.deallocate() }
    // The first of the unseen stands for all of them.
    var unseen: [Int] = []
    let all = rows.filter { row in
      if seesNoCode(x + row * d) {
        codes[row] = 0
        return false
      }
      if isUnseen(x + row * d) {
        unseen.append(row)
        return unseen.count == 1
      }
      if let code = nearestToShort(x + row * d) {
        codes[row] = code
        return false
      }
      return true
    }
    defer { for row in unseen.dropFirst() { codes[row] = codes[unseen[0]] } }
    let rest = findOnSides(x, all, left, codes, stop)
    var skips = 0
    for first in stride(from: 0, to: rest.count, by: Self.rows) {
      if stop.isRequested { return }
      let own = rest[first..<min(first + Self.rows, rest.count)]
      withCenteredPoints(x, rows: own, screen) { points, centered, margins in
        let undecided =
          skips > 0
          ? Array(own.indices) : decide(points, centered, margins, own, left, codes, screen)
        skips = skips > 0 ? skips - 1 : 2 * undecided.count > own.count ? 15 : 0
        if !undecided.isEmpty { findByDefinition(points, own, undecided, codes, stop) }
      }
    }
  }

  /// Codes of the rows whose nearest code on their side of the gap is nearer than the other side;
  /// returns the others.
  private func findOnSides<Element: SearchElement>(
    _ x: UnsafePointer<Element>, _ rows: [Int], _ left: Candidates,
    _ codes: UnsafeMutablePointer<Int32>, _ stop: LoopStop
  ) -> [Int] {
    guard let sides else { return rows }
    var rest: [Int] = []
    for isUpper in [false, true] {
      let side = isUpper ? sides.upper : sides.lower
      let own = rows.filter { sides.isUpper(x + $0 * d) == isUpper }
      var skips = 0
      for first in stride(from: 0, to: own.count, by: Self.rows) {
        if stop.isRequested { return [] }
        let few = own[first..<min(first + Self.rows, own.count)]
        if skips > 0 {
          skips -= 1
          rest += few
          continue
        }
        let before = rest.count
        withCenteredPoints(x, rows: few, side.screen) { points, centered, margins in
          var undecided = Set(
            decide(points, centered, margins, few, left, codes, side.screen, side.places))
          for (place, index) in few.indices.enumerated() where !undecided.contains(index) {
            let point = points + place * d
            let distance = distance(point, Int(places[Int(codes[few[index]])]))
            if distance >= sides.squaredDistance(of: point, toOther: isUpper) {
              undecided.insert(index)
            }
          }
          rest += undecided.sorted().map { few[$0] }
        }
        if 2 * (rest.count - before) > few.count { skips = 15 }
      }
    }
    return rest
  }

  /// Codes of the rows by scores, where the definition needs to rank a few; returns the rows that
  /// are left.
  private func decide(
    _ points: UnsafePointer<Double>, _ centered: UnsafePointer<Double>,
    _ margins: UnsafePointer<Double>, _ rows: ArraySlice<Int>, _ left: Candidates,
    _ codes: UnsafeMutablePointer<Int32>, _ screen: Float64Codebook, _ own: [Int32]? = nil
  ) -> [Int] {
    left.clear()
    var undecided: [Int] = []
    let step = Float64Codebook.step
    // Tiles that stay in a core's cache; few, as a row whose least score is not among them skips
    // them.
    let block = min(screen.width, 128, max(step, (1 << 13) / d / step * step))
    let rowCount = (rows.count + 3) / 4 * 4
    withUnsafeTemporaryAllocation(of: Double.self, capacity: 4 * block + Self.rows + 4) {
      let scores = $0.baseAddress!
      let (least, found) = (scores + 4 * block, scores + 4 * block + Self.rows)
      least.initialize(repeating: .infinity, count: Self.rows)
      for place in 0..<rowCount where margins[place] == .infinity { left.giveUp(place) }
      for first in stride(from: 0, to: screen.width, by: block) {
        let count = min(block, screen.width - first)
        for r in stride(from: 0, to: rowCount, by: 4) {
          found.initialize(repeating: .infinity, count: 4)
          screen.score(
            centered + r * d, first: first, count: count, scores, stride: block, found)
          for place in r..<r + 4 {
            least[place] = min(least[place], found[place - r])
            let limit = least[place] + margins[place]
            if found[place - r] > limit { continue }
            left.add(
              place, scores + (place - r) * block, count: count, first: first, limit: limit, kernels
            )
          }
        }
      }
      for (place, index) in rows.indices.enumerated() {
        let point = points + place * d
        if let few = left.left(place, limit: least[place] + margins[place]) {
          let few = own.map { own in few.map { own[Int($0)] } } ?? Array(few)
          codes[rows[index]] = distinct[Int(nearest(point, few))]
        } else {
          undecided.append(index)
        }
      }
    }
    return undecided
  }

  /// Whether the point less any code is the point in Float64, so that all distances are equal.
  func seesNoCode<Element: SearchElement>(_ point: UnsafePointer<Element>) -> Bool {
    for i in 0..<d where largest[i] > 0x1p-55 * Double(point[i].magnitude) { return false }
    return true
  }

  /// Whether any code less the point is the code in Float64, so that distances are those of 0.
  private func isUnseen<Element: SearchElement>(_ point: UnsafePointer<Element>) -> Bool {
    for i in 0..<d {
      let magnitude = Double(point[i].magnitude)
      if magnitude > 0, magnitude >= 0x1p-54 * least[i] { return false }
    }
    return true
  }

  /// The nearest code of a point so near to 0 that few codes can be nearest: |e| <= |f| + 2 |x| of
  /// the nearest e and the shortest f. Nil for others.
  private func nearestToShort<Element: SearchElement>(_ point: UnsafePointer<Element>) -> Int32? {
    var squares = 0.0
    for i in 0..<d { squares += Double(point[i]) * Double(point[i]) }
    // Sums of d squares, of differences too, are within (d + 2) 2^-53 of themselves; squares below
    // 2^-900 may have lost more.
    let slack = 1 + Double(d + 8) * 0x1p-51
    let limit = (shortest[0].length + 2 * squares.squareRoot()) * slack + 0x1p-440
    guard let last = shortest.last, last.length > limit || shortest.count == distinct.count,
      shortest[0].length > 0x1p-400
    else { return nil }
    let few = shortest.filter { $0.length <= limit }.map(\.place).sorted()
    guard few.count <= Self.mostShort else { return nil }
    return withUnsafeTemporaryAllocation(of: Double.self, capacity: d) { wide in
      for i in 0..<d { wide[i] = Double(point[i]) }
      return distinct[Int(nearest(wide.baseAddress!, few))]
    }
  }

  private func nearest(
    _ point: UnsafePointer<Double>, _ candidates: [Int32]
  ) -> Int32 {
    var (code, shortest) = (candidates[0], Double.infinity)
    for candidate in candidates where candidates.count > 1 {
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
        for first in stride(from: 0, to: tileCount, by: block) {
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

  /// Calls `body` with the rows in Float64, [ExactCodebook.rows, d], 0 behind the last, and with
  /// what `screen` makes of them.
  func withCenteredPoints<Element: SearchElement>(
    _ x: UnsafePointer<Element>, rows: ArraySlice<Int>, _ screen: Float64Codebook,
    _ body: (
      _ points: UnsafeMutablePointer<Double>, _ centered: UnsafePointer<Double>,
      _ margins: UnsafePointer<Double>
    ) -> Void
  ) {
    let count = Self.rows * d
    let points = UnsafeMutablePointer<Double>.allocate(capacity: 2 * count + Self.rows)
    defer { points.deallocate() }
    points.initialize(repeating: 0, count: 2 * count + Self.rows)
    for (place, row) in rows.enumerated() {
      for i in 0..<d { points[place * d + i] = Double(x[row * d + i]) }
    }
    let (centered, margins) = (points + count, points + 2 * count)
    screen.center(points, count: Self.rows, centered, margins)
    body(points, centered, margins)
  }
}

/// The first of each set of rows that hold the same bytes, and the place of each row's among them.
private func distinctRows<Element>(
  _ x: UnsafePointer<Element>, count: Int, width: Int
) -> (distinct: [Int32], places: [Int32]) {
  let size = width * MemoryLayout<Element>.stride
  let bytes = UnsafeRawPointer(x)
  // Places by hash, the next free one after it where taken.
  let mask = (1 << (Int.bitWidth - (2 * count).leadingZeroBitCount)) - 1
  var table = [Int32](repeating: -1, count: mask + 1)
  var (distinct, places): ([Int32], [Int32]) = ([], [])
  for row in 0..<count {
    var hash: UInt64 = 0
    for offset in stride(from: row * size, to: (row + 1) * size, by: 4) {
      let word = bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
      hash = (hash ^ UInt64(word)) &* 0x9E37_79B9_7F4A_7C15
      hash ^= hash >> 29
    }
    var slot = Int(truncatingIfNeeded: hash) & mask
    while table[slot] >= 0,
      memcmp(bytes + Int(distinct[Int(table[slot])]) * size, bytes + row * size, size) != 0
    {
      slot = (slot + 1) & mask
    }
    if table[slot] < 0 {
      table[slot] = Int32(distinct.count)
      distinct.append(Int32(row))
    }
    places.append(table[slot])
  }
  return (distinct, places)
}
