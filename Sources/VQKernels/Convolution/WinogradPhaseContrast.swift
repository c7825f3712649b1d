import CPlatform

// As for planes: points mix the 5x5 pixels of each phase, and an output sees 2x2 of each. F(4x4,
// 2x2) rounds half of what F(4x4, 3x3) does, so that an output may see half as much of its tile.

/// Elements, of equal size, that make up what an output sees, at least.
private let fewest: Float = 8

extension WinogradPhases {
  /// Six with even pixels, up to 16 at a corner.
  var mostContrast: Float { 60 }

  /// Those of the outputs in the four corners: every one of the four that see a pixel's gradient.
  var leastTaps: [[Int]] {
    guard form.phases > 1 else { return (0..<form.taps).map { [$0] } }
    let side = 4
    return [0, padding.height].flatMap { top in
      [0, padding.width].map { left in
        (0..<form.taps).filter { tap in
          let (row, column) = order!.places[tap].quotientAndRemainder(dividingBy: side)
          return row >= top && row < side - padding.height + top && column >= left
            && column < side - padding.width + left
        }
      }
    }
  }

  @inline(__always)
  func seen(
    _ sums: WinogradGrid, _ peaks: WinogradGrid, _ tile: Int
  ) -> (sum: Float, least: Float, isMany: Bool) {
    typealias Four = WinogradGrid.Four
    let (image, top, left) = place(tile)
    let (step, extent) = (sourceStep, sourceStep * form.tapSide)
    // What the outputs of a row of a tile see of one row of pixels.
    return withUnsafeTemporaryAllocation(of: Four.self, capacity: 2 * pixelSide) { buffer in
      let across = buffer.baseAddress!
      let largest = across + pixelSide
      var sum: Float = 0
      for y in 0..<pixelSide {
        let row = UnsafePointer(sums.row(image, top * step + y) + left * step)
        let peak = UnsafePointer(peaks.row(image, top * step + y) + left * step)
        var (total, most) = (Four(), Four())
        for k in 0..<extent {
          total += four(row + k)
          most = vq_larger4(four(peak + k), most)
        }
        for k in 0..<pixelSide { sum += row[k] }
        (across + y).initialize(to: total)
        (largest + y).initialize(to: most)
      }
      // The least sum, and the most by which an element exceeds its part.
      var (least, excess) = (Four(repeating: .infinity), Four(repeating: -.infinity))
      for i in 0..<min(side, rows - top) {
        var (total, most) = (Four(), Four())
        for y in i * step..<i * step + extent {
          total += across[y]
          most = vq_larger4(largest[y], most)
        }
        for j in min(4, columns - left)..<4 { total[j] = .infinity }
        least = -vq_larger4(-least, -total)
        excess = vq_larger4(fewest * most - total, excess)
      }
      return (sum, -vq_largest_lane4(-least), vq_largest_lane4(excess) <= 0)
    }
  }

  /// A number for each of four outputs beside each other.
  @inline(__always)
  func four(_ x: UnsafePointer<Float>) -> WinogradGrid.Four {
    WinogradGrid.Four(x[0], x[sourceStep], x[2 * sourceStep], x[3 * sourceStep])
  }
}
