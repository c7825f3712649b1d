import CPlatform

// The points of a tile mix its 36 pixels, so that each of its outputs is rounded by the largest of
// them, seen or not. Below, magnitudes are sums over channels of |x|.

/// Elements, of equal size, that make up what an output sees, at least: one alone may meet a small
/// weight.
private let fewest: Float = 8

extension WinogradPlanes {
  /// Those of the outputs in the four corners.
  var leastTaps: [[Int]] {
    let taps = form.tapSide
    let seen = taps - max(padding.height, padding.width, taps / 2)
    return [0, taps - seen].flatMap { top in
      [0, taps - seen].map { left in
        (0..<seen * seen).map { (top + $0 / seen) * taps + left + $0 % seen }
      }
    }
  }

  /// Of 3x3 four with even pixels and a little over six at a corner, of 5x5 half of that.
  var mostContrast: Float { form.tapSide == 3 ? 32 : 10 }

  @inline(__always)
  func seen(
    _ grid: WinogradGrid, _ peaks: WinogradGrid, _ tile: Int
  ) -> (sum: Float, least: Float, isMany: Bool) {
    let (image, top, left) = place(tile)
    let (rows, columns) = (min(side, self.rows - top), min(side, self.columns - left))
    let isWide = form.tapSide == 5
    // Sums of three or five across, one for each column of outputs.
    @inline(__always)
    func across(_ y: Int) -> WinogradGrid.Four {
      let row = UnsafePointer(grid.row(image, top + y) + left)
      let three = WinogradGrid.four(row) + WinogradGrid.four(row + 1) + WinogradGrid.four(row + 2)
      return isWide ? three + WinogradGrid.four(row + 3) + WinogradGrid.four(row + 4) : three
    }
    let (a, b, c, d, e, f) = (across(0), across(1), across(2), across(3), across(4), across(5))
    let all = a + b + c + d + e + f
    var (sum, least) = (all[0] + all[3], a + b + c)
    if isWide {
      // The sixth column, which is in the second sum of five alone.
      sum = all[0]
      for y in 0..<6 { sum += grid.row(image, top + y)[left + 5] }
      least += d + e
      if rows > 1 { least = -vq_larger4(-least, -(b + c + d + e + f)) }
    } else {
      if rows > 1 { least = -vq_larger4(-least, -(b + c + d)) }
      if rows > 2 { least = -vq_larger4(-least, -(c + d + e)) }
      if rows > 3 { least = -vq_larger4(-least, -(d + e + f)) }
    }
    for column in columns..<4 { least[column] = .infinity }
    let smallest = -vq_largest_lane4(-least)
    return (sum, smallest, fewest * peaks.largest(image, top, left) <= smallest)
  }
}

extension WinogradGrid {
  /// The largest of a tile's 6x6.
  @inline(__always)
  func largest(_ image: Int, _ top: Int, _ left: Int) -> Float {
    var largest = Four()
    for y in 0..<6 {
      let row = UnsafePointer(row(image, top + y) + left)
      largest = vq_larger4(vq_larger4(Self.four(row), Self.four(row + 2)), largest)
    }
    return vq_largest_lane4(largest)
  }
}
