import VQTiles

extension ExactCodebook {
  /// Codes up to which insertion finds the nearest faster than selection.
  private static let inserted = 32

  /// Calls `body` with each of `rows` and codes among which are the `wanted` nearest, with their
  /// distances by the definition.
  func rank<Element: SearchElement>(
    _ x: UnsafePointer<Element>, _ codebook: UnsafePointer<Element>, rows: ArraySlice<Int>,
    wanted: Int, _ stop: LoopStop,
    _ body: (_ row: Int, _ found: UnsafeMutableBufferPointer<RankedCode>) -> Void
  ) {
    let k = places.count
    let stride = max(screen.width, tileCount * exactCodes)
    let isScored = wanted <= Self.inserted
    withUnsafeTemporaryAllocation(of: Double.self, capacity: 4 * stride + k) {
      let values = $0.baseAddress!
      let all = values + 4 * stride
      /// The values of a row by code.
      func byCode(_ row: Int) -> UnsafePointer<Double> {
        let own = UnsafePointer(values + row * stride)
        if distinct.count == k { return own }
        for code in 0..<k { all[code] = own[Int(places[code])] }
        return UnsafePointer(all)
      }
      withUnsafeTemporaryAllocation(of: RankedCode.self, capacity: k) { ranked in
        withCenteredPoints(x, rows: rows, screen) { points, centered, margins in
          for first in Swift.stride(from: 0, to: rows.count, by: 4) {
            if stop.isRequested { return }
            var left = Array(first..<min(first + 4, rows.count))
            if isScored {
              var least = SIMD4<Double>(repeating: .infinity)
              withUnsafeMutablePointer(to: &least) {
                $0.withMemoryRebound(to: Double.self, capacity: 4) {
                  screen.score(
                    centered + first * d, first: 0, count: screen.width, values, stride: stride, $0)
                }
              }
              left.removeAll { place in
                let count =
                  seesNoCode(points + place * d)
                  ? lowest(wanted, ranked)
                  : gather(wanted, byCode(place - first), margin: margins[place], ranked)
                guard let count else { return false }
                let row = rows[rows.startIndex + place]
                let found = UnsafeMutableBufferPointer(rebasing: ranked[..<count])
                measureDistances(found, x + row * d, codebook, width: d)
                body(row, found)
                return true
              }
            }
            if left.isEmpty { continue }
            kernels.distancesExactly(points + first * d, tiles, d, tileCount, values, stride)
            for place in left {
              let distances = byCode(place - first)
              var found = ranked
              if isScored {
                insertLeast(wanted, distances, count: k, ranked)
                found = UnsafeMutableBufferPointer(rebasing: ranked[..<wanted])
              } else {
                for code in 0..<k {
                  ranked[code] = RankedCode(distance: distances[code], code: code)
                }
              }
              body(rows[rows.startIndex + place], found)
            }
          }
        }
      }
    }
  }

  /// Puts the lowest codes into `found`.
  private func lowest(
    _ wanted: Int, _ found: UnsafeMutableBufferPointer<RankedCode>
  ) -> Int {
    for code in 0..<wanted { found[code].code = code }
    return wanted
  }

  /// Puts the codes within the margin of the last of the wanted scores into `found`; nil where they
  /// are many.
  private func gather(
    _ wanted: Int, _ scores: UnsafePointer<Double>, margin: Double,
    _ found: UnsafeMutableBufferPointer<RankedCode>
  ) -> Int? {
    guard margin < .infinity else { return nil }
    let k = places.count
    insertLeast(wanted, scores, count: k, found)
    let limit = found[wanted - 1].distance + margin
    let most = min(k, wanted + 16)
    var count = 0
    for code in 0..<k where scores[code] <= limit {
      if count == most { return nil }
      found[count].code = code
      count += 1
    }
    return count
  }
}

/// `found` = the `wanted` least of `count` values in order, with their places as codes.
private func insertLeast(
  _ wanted: Int, _ values: UnsafePointer<Double>, count: Int,
  _ found: UnsafeMutableBufferPointer<RankedCode>
) {
  var held = 0
  for code in 0..<count {
    let value = values[code]
    if held == wanted, !(value < found[wanted - 1].distance) { continue }
    var place = held < wanted ? held : wanted - 1
    while place > 0, value < found[place - 1].distance {
      found[place] = found[place - 1]
      place -= 1
    }
    found[place] = RankedCode(distance: value, code: code)
    held = min(held + 1, wanted)
  }
}
