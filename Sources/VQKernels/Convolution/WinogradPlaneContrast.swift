import CPlatform

// The points of a tile mix its 36 pixels, so that each of its outputs is rounded by the largest of
// them, seen or not. Below, magnitudes are sums over channels of |x|.

/// Times by which the magnitude of a tile may exceed what one of its outputs sees, with even taps:
/// of 3x3 four with even pixels and a little over six at a corner, of 5x5 half of that.
private let mostContrast: (three: Float, five: Float) = (32, 10)
/// Elements, of equal size, that make up what an output sees, at least: one alone may meet a small
/// weight.
private let fewest: Float = 8
/// The largest sum of magnitudes whose points are finite.
private let largestSum: Float = 0x1p110

extension WinogradPlanes {
  /// Those of the outputs in the four corners.
  var leastTaps: [[Int]] {
    let taps = form.tapSide
    let seen = taps - max(paddingHeight, paddingWidth, taps / 2)
    return [0, taps - seen].flatMap { top in
      [0, taps - seen].map { left in
        (0..<seen * seen).map { (top + $0 / seen) * taps + left + $0 % seen }
      }
    }
  }

  var markScratchCount: Int { 2 * inputGridCount }

  func markUneven(
    _ x: UnsafePointer<Float>, _ weights: WinogradWeights,
    _ isUneven: UnsafeMutablePointer<Bool>, scratch: UnsafeMutablePointer<Float>
  ) -> Int {
    let (sums, peaks) = (inputGrid(scratch), inputGrid(scratch + inputGridCount))
    let (channels, width, measure) = (inputs, width, kernels.measurePixels)
    parallelFor(images * sums.rows, grain: max(1, elementGrain / (channels * width))) { range in
      forEachRow(range, [sums, peaks], isInput: true) { pixel, count, place in
        measure(
          x + pixel * channels, count, channels, weights.share, sums.values + place,
          peaks.values + place)
      }
    }
    let contrast =
      (form.tapSide == 3 ? mostContrast.three : mostContrast.five) / weights.unevenness
    let limit = min(largestSum, largestSum / max(weights.scale, 0x1p-100))
    parallelFor(tiles, grain: 256) { range in
      for tile in range {
        let (image, top, left) = corner(tile)
        let (sum, least) = seen(
          sums, image, top, left, rows: min(side, outHeight - top),
          columns: min(side, outWidth - left))
        let peak = peaks.largest(image, top, left)
        isUneven[tile] = !(sum <= contrast * least && fewest * peak <= least && sum < limit)
      }
    }
    var count = 0
    for tile in 0..<tiles where isUneven[tile] { count += 1 }
    return count
  }

  /// The sum over a tile's 6x6 pixels, and the least sum over those of an output.
  @inline(__always)
  private func seen(
    _ grid: WinogradGrid, _ image: Int, _ top: Int, _ left: Int, rows: Int, columns: Int
  ) -> (sum: Float, least: Float) {
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
    return (sum, -vq_largest_lane4(-least))
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
