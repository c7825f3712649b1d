import CPlatform

// The points of a tile mix its 36 pixels, so that each of its outputs is rounded by the largest of
// them, seen or not. Below, magnitudes are sums over channels of |x|.

/// Times by which the magnitude of a tile may exceed what one of its outputs sees: four with even
/// pixels, a little over six at a corner.
private let mostContrast: Float = 32
/// Elements, of equal size, that make up what an output sees, at least: one alone may meet a small
/// weight, or one weight a small element.
private let fewest: Float = 8
/// The largest sum of magnitudes whose points are finite.
private let largestSum: Float = 0x1p110

/// What the weights of a convolution are like.
struct WinogradWeights {
  /// Magnitudes by input channel, the largest 1, none below 2^-12: [inputs].
  let share: UnsafeMutablePointer<Float>
  /// The sum of magnitudes by which `share` was divided.
  private(set) var scale: Float = 0
  /// Whether every output is likely to see the largest weights.
  private(set) var areEven = true
  /// How much less than its share the least tap of an output has of all nine, at most: 1 where all
  /// are alike. What an output sees of a bright pixel may be so much less.
  private(set) var unevenness: Float = 1
}

extension WinogradWeights {
  private typealias Taps = SIMD16<Float>

  /// - Parameters:
  ///   - weights: [outputs, inputs, 3, 3], flipped [inputs, outputs, 3, 3].
  ///   - share: room for [inputs].
  init(
    _ weights: UnsafePointer<Float>, _ convolution: WinogradConvolution, flipped: Bool,
    share: UnsafeMutablePointer<Float>
  ) {
    self.share = share
    let (inputs, outputs) = (convolution.inputs, convolution.outputs)
    let (rows, columns) = flipped ? (inputs, outputs) : (outputs, inputs)
    let loneTaps = convolution.paddingHeight > 1 || convolution.paddingWidth > 1
    // Sums and largest by row, then by column of each part of the rows.
    let parts = max(1, min(8, rows * columns / 512))
    let partRows = (rows + parts - 1) / parts
    withUnsafeTemporaryAllocation(of: Taps.self, capacity: 2 * (rows + parts * columns)) {
      buffer in
      buffer.initialize(repeating: Taps())
      let rowSums = buffer.baseAddress!
      let rowLargest = rowSums + rows
      let columnSums = rowLargest + rows
      let columnLargest = columnSums + parts * columns
      parallelFor(parts, grain: 1) { range in
        for part in range {
          let (sums, largest) = (columnSums + part * columns, columnLargest + part * columns)
          for row in min(part * partRows, rows)..<min((part + 1) * partRows, rows) {
            var (sum, most) = (Taps(), Taps())
            for column in 0..<columns {
              let filter = row * columns + column
              let taps = magnitudes(weights + 9 * filter, isLast: filter + 1 == rows * columns)
              sum += taps
              sums[column] += taps
              if flipped {
                largest[column] = vq_larger16(taps, largest[column])
              } else {
                most = vq_larger16(taps, most)
              }
            }
            (rowSums[row], rowLargest[row]) = (sum, most)
          }
        }
      }
      for part in 1..<max(parts, 1) {
        for column in 0..<columns {
          columnSums[column] += columnSums[part * columns + column]
          columnLargest[column] = vq_larger16(
            columnLargest[part * columns + column], columnLargest[column])
        }
      }
      let (inputSums, outputSums) = flipped ? (rowSums, columnSums) : (columnSums, rowSums)
      let outputLargest = flipped ? columnLargest : rowLargest
      for i in 0..<inputs { share[i] = total(inputSums[i]) }
      for o in 0..<outputs where areEven {
        areEven = isEven(
          outputSums[o], largest: nineMax(outputLargest[o]), loneTaps: loneTaps)
        unevenness = max(unevenness, unevenness(outputSums[o]))
      }
    }
    for i in 0..<inputs { scale = max(scale, share[i]) }
    for i in 0..<inputs { share[i] = scale > 0 ? max(share[i] / scale, 0x1p-12) : 1 }
  }

  /// The nine taps, then others that do not count.
  @inline(__always)
  private func magnitudes(_ filter: UnsafePointer<Float>, isLast: Bool) -> Taps {
    if isLast {
      var taps = Taps()
      for t in 0..<9 { taps[t] = abs(filter[t]) }
      return taps
    }
    // The next filter holds the seven elements behind.
    let taps = UnsafeRawPointer(filter).loadUnaligned(as: Taps.self)
    return vq_larger16(taps, -taps)
  }

  private func total(_ taps: Taps) -> Float {
    var sum: Float = 0
    for t in 0..<9 { sum += taps[t] }
    return sum
  }

  private func unevenness(_ taps: Taps) -> Float {
    var least = Float.infinity
    for t in 0..<9 { least = min(least, taps[t]) }
    let sum = total(taps)
    return sum > 0 ? sum / (9 * least) : 1
  }

  private func nineMax(_ taps: Taps) -> Float {
    var largest: Float = 0
    for t in 0..<9 { largest = taps[t] <= largest ? largest : taps[t] }
    return largest
  }

  /// Whether no few weights of an output outweigh the others, nor taps those that the image's
  /// corners see.
  private func isEven(_ taps: Taps, largest: Float, loneTaps: Bool) -> Bool {
    let sum = total(taps)
    guard sum < largestSum else { return false }
    guard fewest * largest <= sum else { return false }
    let t = taps
    let least =
      loneTaps
      ? min(t[0], t[2], t[6], t[8])
      : min(
        t[0] + t[1] + t[3] + t[4], t[1] + t[2] + t[4] + t[5], t[3] + t[4] + t[6] + t[7],
        t[4] + t[5] + t[7] + t[8])
    return sum <= (loneTaps ? 2 : 1) * mostContrast * least
  }
}

extension WinogradConvolution {
  /// Marks the tiles with an output that sees too little of them, and counts the marks.
  ///
  /// - Parameter scratch: room for `2 * inputGridCount`.
  func markUneven(
    _ x: UnsafePointer<Float>, _ weights: WinogradWeights,
    _ isUneven: UnsafeMutablePointer<Bool>, scratch: UnsafeMutablePointer<Float>
  ) -> Int {
    let (sums, peaks) = (inputGrid(scratch), inputGrid(scratch + inputGridCount))
    let (channels, width, measure) = (inputs, width, kernels.measurePixels)
    parallelFor(images * sums.rows, grain: max(1, elementGrain / (channels * width))) { range in
      forEachRow(range, [sums, peaks], isInput: true) { pixel, place in
        measure(
          x + pixel * channels, width, channels, weights.share, sums.values + place,
          peaks.values + place)
      }
    }
    let contrast = mostContrast / max(1, weights.unevenness / 2)
    let limit = min(largestSum, largestSum / max(weights.scale, 0x1p-100))
    parallelFor(tiles, grain: 256) { range in
      for tile in range {
        let (image, top, left) = corner(tile)
        let (sum, least) = seen(
          sums, image, top, left, rows: min(4, outHeight - top), columns: min(4, outWidth - left))
        let peak = peaks.largest(image, top, left)
        isUneven[tile] = !(sum <= contrast * least && fewest * peak <= least && sum < limit)
      }
    }
    var count = 0
    for tile in 0..<tiles where isUneven[tile] { count += 1 }
    return count
  }

  /// The sum over a tile's 6x6 pixels, and the least sum over the 3x3 of an output.
  @inline(__always)
  private func seen(
    _ grid: WinogradGrid, _ image: Int, _ top: Int, _ left: Int, rows: Int, columns: Int
  ) -> (sum: Float, least: Float) {
    // Sums of three across, one for each column of outputs.
    @inline(__always)
    func across(_ y: Int) -> WinogradGrid.Four {
      let row = UnsafePointer(grid.row(image, top + y) + left)
      return WinogradGrid.four(row) + WinogradGrid.four(row + 1) + WinogradGrid.four(row + 2)
    }
    let (a, b, c, d, e, f) = (across(0), across(1), across(2), across(3), across(4), across(5))
    let all = a + b + c + d + e + f
    var least = a + b + c
    if rows > 1 { least = -vq_larger4(-least, -(b + c + d)) }
    if rows > 2 { least = -vq_larger4(-least, -(c + d + e)) }
    if rows > 3 { least = -vq_larger4(-least, -(d + e + f)) }
    for column in columns..<max(columns, 4) { least[column] = .infinity }
    return (all[0] + all[3], -vq_largest_lane4(-least))
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
