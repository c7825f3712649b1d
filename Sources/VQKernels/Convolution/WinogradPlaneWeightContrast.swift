import CPlatform

/// Times by which the product of all a tile's inputs and all its gradients may exceed what a tap
/// sees of it: 36 where all is even, more at corners.
private let mostContrast: Float = 360
/// Outputs, at least: of fewer, two channels may share few products that are not small.
private let leastOutputs = 256

/// Magnitudes of images.
private struct ImageMagnitudes {
  /// By pixel, summed over channels.
  let grid: WinogradGrid
  /// Whether no few elements make up a channel.
  let areEven: Bool

  /// - Parameters:
  ///   - x: images of `planes`'s inputs, or of its outputs.
  ///   - scratch: room for `scratchCount`.
  init(
    _ x: UnsafePointer<Float>, _ planes: WinogradPlanes, isInput: Bool,
    scratch: UnsafeMutablePointer<Float>
  ) {
    let channels = isInput ? planes.inputs : planes.outputs
    let width = isInput ? planes.width : planes.outWidth
    let height = isInput ? planes.height : planes.outHeight
    let magnitudes = ChannelMagnitudes(channels: channels, scratch: scratch)
    let values = scratch + ChannelMagnitudes.scratchCount(channels: channels)
    let grid = isInput ? planes.inputGrid(values) : planes.outputGrid(values)
    self.grid = grid
    let measure = planes.kernels.measureChannels
    let rows = planes.images * grid.rows
    parallelFor(winogradRanges, grain: 1) { parts in
      for part in parts {
        planes.forEachRow(part.share(of: rows), [grid], isInput: isInput) { pixel, place in
          measure(
            x + pixel * channels, width, channels, grid.values + place, magnitudes.sums(part),
            magnitudes.peaks(part))
        }
      }
    }
    areEven = magnitudes.areEven(pixels: planes.images * height * width)
  }

  static func scratchCount(_ planes: WinogradPlanes, isInput: Bool) -> Int {
    isInput
      ? planes.inputGridCount + ChannelMagnitudes.scratchCount(channels: planes.inputs)
      : planes.outputGridCount + ChannelMagnitudes.scratchCount(channels: planes.outputs)
  }
}

extension WinogradPlanes {
  func isEven(
    _ x: UnsafePointer<Float>, _ gradient: UnsafePointer<Float>,
    scratch: UnsafeMutablePointer<Float>
  ) -> Bool {
    guard images * outHeight * outWidth >= leastOutputs else { return false }
    let inputs = ImageMagnitudes(x, self, isInput: true, scratch: scratch)
    guard inputs.areEven else { return false }
    let outputs = ImageMagnitudes(
      gradient, self, isInput: false,
      scratch: scratch + ImageMagnitudes.scratchCount(self, isInput: true))
    guard outputs.areEven else { return false }
    return TapMagnitudes.sum(over: tiles, mostContrast: mostContrast) { range, sum in
      for tile in range { add(tile, inputs.grid, outputs.grid, to: &sum) }
    }.areEven(form.taps, tiles: tiles)
  }

  var evenScratchCount: Int {
    ImageMagnitudes.scratchCount(self, isInput: true)
      + ImageMagnitudes.scratchCount(self, isInput: false)
  }

  @inline(__always)
  private func add(
    _ tile: Int, _ x: WinogradGrid, _ gradient: WinogradGrid, to sum: inout TapMagnitudes
  ) {
    let (image, top, left) = corner(tile)
    // Gradients of the tile alone: vectors of two hold two of the next.
    var isOfTile = WinogradGrid.Four(repeating: 1)
    for column in side..<4 { isOfTile[column] = 0 }
    @inline(__always)
    func gradients(_ y: Int) -> WinogradGrid.Four {
      WinogradGrid.four(gradient.row(image, top + y) + left) * isOfTile
    }
    var (inside, outside, least) = (WinogradGrid.Four(), WinogradGrid.Four(), Float.infinity)
    for y in 0..<side { outside += gradients(y) }
    for y in 0..<6 {
      let row = UnsafePointer(x.row(image, top + y) + left)
      // Lanes 0 and 3 hold three pixels each.
      inside += WinogradGrid.four(row) + WinogradGrid.four(row + 1) + WinogradGrid.four(row + 2)
    }
    for tap in 0..<form.taps {
      let (down, right) = tap.quotientAndRemainder(dividingBy: form.tapSide)
      var (products, peaks) = (WinogradGrid.Four(), WinogradGrid.Four())
      for y in 0..<side {
        let row = gradients(y) * WinogradGrid.four(x.row(image, top + y + down) + left + right)
        products += row
        peaks = pointwiseMax(peaks, row)
      }
      let seen = products.sum()
      sum.add(seen, largest: peaks.max(), to: tap)
      least = min(least, seen)
    }
    sum.add(product: (inside[0] + inside[3]) * outside.sum(), least: least)
  }
}
