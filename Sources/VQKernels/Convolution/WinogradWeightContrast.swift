import CPlatform

// A weight's gradient sums x * gradient over the pixels of a tap. In points, a tile's part of it is
// rounded by the product of its largest x and its largest gradient, whatever the tap sees of them.

/// Times by which that product may exceed what a tap sees: 36 where all is even, more at corners.
private let mostContrast = 360.0
/// Products of equal size that make up what a tap sees, at least: in a few alone a channel may be
/// small, which the sums over channels do not tell.
private let fewest = 8.0
/// Parts of a channel that its largest element may make up, where it exceeds other channels too.
private let largestPart: Float = 1 / 16
private let mostBeyondOthers: Float = 64
private let largestMagnitude: Float = 0x1p48
/// Sums are taken over so many ranges of pixels and tiles, and added in order.
private let ranges = 16

/// Magnitudes of images.
private struct ImageMagnitudes {
  /// By pixel, summed over channels.
  let grid: WinogradGrid
  /// Whether no few elements make up a channel.
  private(set) var areEven = true

  /// - Parameters:
  ///   - x: images of `convolution`'s inputs, or of its outputs.
  ///   - scratch: room for `scratchCount`.
  init(
    _ x: UnsafePointer<Float>, _ convolution: WinogradConvolution, isInput: Bool,
    scratch: UnsafeMutablePointer<Float>
  ) {
    let channels = isInput ? convolution.inputs : convolution.outputs
    let width = isInput ? convolution.width : convolution.outWidth
    let height = isInput ? convolution.height : convolution.outHeight
    let sums = scratch
    let peaks = sums + ranges * channels
    sums.update(repeating: 0, count: 2 * ranges * channels)
    let values = peaks + ranges * channels
    let grid = isInput ? convolution.inputGrid(values) : convolution.outputGrid(values)
    self.grid = grid
    let measure = convolution.kernels.measureChannels
    let rows = convolution.images * grid.rows
    parallelFor(ranges, grain: 1) { parts in
      for part in parts {
        convolution.forEachRow(part.share(of: rows), [grid], isInput: isInput) { pixel, place in
          measure(
            x + pixel * channels, width, channels, grid.values + place, sums + part * channels,
            peaks + part * channels)
        }
      }
    }
    for part in 1..<ranges {
      for c in 0..<channels {
        sums[c] += sums[part * channels + c]
        peaks[c] = max(peaks[c], peaks[part * channels + c])
      }
    }
    var total: Float = 0
    for c in 0..<channels { total += sums[c] }
    let typical = total / Float(convolution.images * height * width * channels)
    for c in 0..<channels {
      let allowed = max(largestPart * sums[c], mostBeyondOthers * typical)
      areEven = areEven && sums[c] < .infinity && peaks[c] <= min(allowed, largestMagnitude)
    }
  }

  static func scratchCount(_ convolution: WinogradConvolution, isInput: Bool) -> Int {
    isInput
      ? convolution.inputGridCount + 2 * ranges * convolution.inputs
      : 16 * convolution.tiles + 2 * ranges * convolution.outputs
  }
}

extension Int {
  /// The part of this number, of `ranges`, of `0..<count`.
  fileprivate func share(of count: Int) -> Range<Int> {
    let length = (count + ranges - 1) / ranges
    return Swift.min(self * length, count)..<Swift.min((self + 1) * length, count)
  }
}

/// What tiles add to the gradients of the nine taps, in magnitudes summed over channels.
private struct TapMagnitudes {
  /// The largest product of all a tile's inputs and all its gradients, where a tap sees little of
  /// it.
  var product: Float = 0
  var taps = SIMD16<Double>()
  /// The largest product of one pixel by tap.
  var peaks = SIMD16<Float>()

  var areOfMany: Bool { (0..<9).allSatisfy { fewest * Double(peaks[$0]) <= taps[$0] } }

  var least: Double {
    var least = taps[0]
    for t in 1..<9 { least = min(least, taps[t]) }
    return least
  }
}

extension WinogradConvolution {
  /// Whether every tap sees enough of what its tiles hold that points give its gradient.
  func isEven(
    _ x: UnsafePointer<Float>, _ gradient: UnsafePointer<Float>,
    scratch: UnsafeMutablePointer<Float>
  ) -> Bool {
    let inputs = ImageMagnitudes(x, self, isInput: true, scratch: scratch)
    guard inputs.areEven else { return false }
    let outputs = ImageMagnitudes(
      gradient, self, isInput: false,
      scratch: scratch + ImageMagnitudes.scratchCount(self, isInput: true))
    guard outputs.areEven else { return false }

    return withUnsafeTemporaryAllocation(of: TapMagnitudes.self, capacity: ranges) { sums in
      sums.initialize(repeating: TapMagnitudes())
      let sums = sums.baseAddress!
      parallelFor(ranges, grain: 1) { parts in
        for part in parts {
          var sum = TapMagnitudes()
          for tile in part.share(of: tiles) { add(tile, inputs.grid, outputs.grid, to: &sum) }
          sums[part] = sum
        }
      }
      var all = TapMagnitudes()
      for part in 0..<ranges {
        all.taps += sums[part].taps
        all.product = max(all.product, sums[part].product)
        all.peaks = pointwiseMax(all.peaks, sums[part].peaks)
      }
      return all.areOfMany && Double(all.product) <= mostContrast * all.least / Double(tiles)
    }
  }

  func evenScratchCount() -> Int {
    ImageMagnitudes.scratchCount(self, isInput: true)
      + ImageMagnitudes.scratchCount(self, isInput: false)
  }

  @inline(__always)
  private func add(
    _ tile: Int, _ x: WinogradGrid, _ gradient: WinogradGrid, to sum: inout TapMagnitudes
  ) {
    let (image, top, left) = corner(tile)
    var (inside, outside, least) = (WinogradGrid.Four(), WinogradGrid.Four(), Float.infinity)
    for y in 0..<4 {
      outside += WinogradGrid.four(gradient.row(image, top + y) + left)
    }
    for y in 0..<6 {
      let row = UnsafePointer(x.row(image, top + y) + left)
      // Lanes 0 and 3 hold three pixels each.
      inside += WinogradGrid.four(row) + WinogradGrid.four(row + 1) + WinogradGrid.four(row + 2)
    }
    for tap in 0..<9 {
      var (products, peaks) = (WinogradGrid.Four(), WinogradGrid.Four())
      for y in 0..<4 {
        let row =
          WinogradGrid.four(gradient.row(image, top + y) + left)
          * WinogradGrid.four(x.row(image, top + y + tap / 3) + left + tap % 3)
        products += row
        peaks = pointwiseMax(peaks, row)
      }
      let seen = products.sum()
      sum.peaks[tap] = max(sum.peaks[tap], peaks.max())
      sum.taps[tap] += Double(seen)
      least = min(least, seen)
    }
    let product = (inside[0] + inside[3]) * outside.sum()
    if product > Float(mostContrast) * least { sum.product = max(sum.product, product) }
  }
}
