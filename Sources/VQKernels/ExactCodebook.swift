import VQTiles

/// A codebook in Float64, in tiles of codes, for the search by the definition.
final class ExactCodebook {
  /// Points that a thread takes at once.
  static let rows = 16

  private let k: Int
  private let d: Int
  private let tileCount: Int
  private let tiles: UnsafeMutablePointer<Double>  // [tileCount, d, exactCodes]
  private let kernels: TileKernels

  init<Element: SearchElement>(
    _ source: UnsafePointer<Element>, codes k: Int, width d: Int, _ kernels: TileKernels
  ) {
    (self.k, self.d, self.kernels) = (k, d, kernels)
    let tileCount = (k - 1) / exactCodes + 1
    self.tileCount = tileCount
    let tiles = UnsafeMutablePointer<Double>.allocate(capacity: tileCount * d * exactCodes)
    self.tiles = tiles
    parallelFor(tileCount, grain: max(1, elementGrain / (d * exactCodes))) { range in
      for tile in range {
        let target = tiles + tile * d * exactCodes
        for lane in 0..<exactCodes {
          let code = tile * exactCodes + lane
          let row = source + min(code, k - 1) * d
          for i in 0..<d {
            target[i * exactCodes + lane] = code < k ? Double(row[i]) : .infinity
          }
        }
      }
    }
  }

  deinit { tiles.deallocate() }

  /// Tiles that stay in a core's nearest cache while four points after four meet them.
  private var block: Int { max(1, (1 << 14) / (d * exactCodes * 8)) }

  /// `codes[rows[i]]` = the nearest code of row `rows[i]` of `x`, at most `ExactCodebook.rows`.
  func findNearest<Element: SearchElement>(
    _ x: UnsafePointer<Element>, rows: ArraySlice<Int>, _ codes: UnsafeMutablePointer<Int32>,
    _ stop: LoopStop
  ) {
    withPoints(x, rows: rows) { points in
      var least = [Double](repeating: .infinity, count: Self.rows)
      var nearest = [Int32](repeating: 0, count: Self.rows)
      least.withUnsafeMutableBufferPointer { least in
        nearest.withUnsafeMutableBufferPointer { nearest in
          for first in stride(from: 0, to: tileCount, by: block) {
            if stop.isRequested { return }
            let count = min(block, tileCount - first)
            for r in stride(from: 0, to: rows.count, by: 4) {
              kernels.nearestExactly(
                points + r * d, tiles + first * d * exactCodes, d, count,
                Int32(first * exactCodes), least.baseAddress! + r, nearest.baseAddress! + r)
            }
          }
        }
      }
      for (place, row) in rows.enumerated() { codes[row] = nearest[place] }
    }
  }

  /// Calls `body` with the squared distances of each of `rows` to all codes, [k].
  func measure<Element: SearchElement>(
    _ x: UnsafePointer<Element>, rows: ArraySlice<Int>, _ stop: LoopStop,
    _ body: (_ row: Int, _ distances: UnsafePointer<Double>) -> Void
  ) {
    let stride = tileCount * exactCodes
    let distances = UnsafeMutablePointer<Double>.allocate(capacity: 4 * stride)
    defer { distances.deallocate() }
    withPoints(x, rows: rows) { points in
      for r in Swift.stride(from: 0, to: rows.count, by: 4) {
        for first in Swift.stride(from: 0, to: tileCount, by: block) {
          if stop.isRequested { return }
          kernels.distancesExactly(
            points + r * d, tiles + first * d * exactCodes, d, min(block, tileCount - first),
            distances + first * exactCodes, stride)
        }
        for place in r..<min(r + 4, rows.count) {
          body(rows[rows.startIndex + place], distances + (place - r) * stride)
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
