import CPlatform

/// Times by which the product of all a tile's inputs of a part and all its gradients may exceed
/// what a tap sees of it: seven where all is even, more at the ends of a line.
private let mostContrast: Float = 70
/// Outputs, at least: of fewer, two channels may share few products that are not small.
private let leastOutputs = 256

extension WinogradLines {
  /// Magnitudes by pixel, summed over channels; nil where few elements make up a channel.
  private func magnitudes(
    _ x: UnsafePointer<Float>, pixels: Int, channels: Int, _ scratch: UnsafeMutablePointer<Float>
  ) -> UnsafePointer<Float>? {
    let (measure, sums) = (kernels.measureChannels, scratch)
    let magnitudes = ChannelMagnitudes(channels: channels, scratch: scratch + pixels)
    parallelFor(winogradRanges, grain: 1) { parts in
      for part in parts {
        let range = part.share(of: pixels)
        measure(
          x + range.lowerBound * channels, range.count, channels, sums + range.lowerBound,
          magnitudes.sums(part), magnitudes.peaks(part))
      }
    }
    return magnitudes.areEven(pixels: pixels) ? UnsafePointer(sums) : nil
  }

  private var sourcePixels: Int { images * source.imageSize }
  private var resultPixels: Int { images * result.imageSize }

  var evenScratchCount: Int {
    sourcePixels + resultPixels + ChannelMagnitudes.scratchCount(channels: inputs)
      + ChannelMagnitudes.scratchCount(channels: outputs)
  }

  func isEven(
    _ x: UnsafePointer<Float>, _ gradient: UnsafePointer<Float>,
    scratch: UnsafeMutablePointer<Float>
  ) -> Bool {
    let rest = scratch + sourcePixels + ChannelMagnitudes.scratchCount(channels: inputs)
    guard resultPixels >= leastOutputs,
      let inputs = magnitudes(x, pixels: sourcePixels, channels: inputs, scratch),
      let outputs = magnitudes(gradient, pixels: resultPixels, channels: outputs, rest)
    else { return false }
    return TapMagnitudes.sum(over: tiles, mostContrast: mostContrast) { range, sum in
      forEachRun(range) { add($0.count, $1, inputs, outputs, to: &sum) }
    }.areEven(form.taps, tiles: tiles)
  }

  /// Adds `count` tiles of a line.
  private func add(
    _ count: Int, _ place: Place, _ x: UnsafePointer<Float>, _ gradient: UnsafePointer<Float>,
    to sum: inout TapMagnitudes
  ) {
    typealias Taps = SIMD16<Float>
    let side = form.outputSide
    // A vector reaches beyond the last tile.
    let room = count * side + 32
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * room) { buffer in
      let (pixels, gradients) = (buffer.baseAddress!, buffer.baseAddress! + room)
      copy(
        x + place.source, step: sourceStep, start: place.pixel, size: place.pixels, count: room,
        pixels)
      copy(
        gradient + place.result, step: resultStep, start: place.output, size: place.outputs,
        count: room, gradients)
      for tile in 0..<count {
        let (x, g) = (pixels + tile * side, gradients + tile * side)
        // By tap; those beyond the filter's are not read.
        var (seen, largest, total) = (Taps(), Taps(), Float(0))
        for output in 0..<side {
          let products = UnsafeRawPointer(x + output).loadUnaligned(as: Taps.self) * g[output]
          seen += products
          largest = vq_larger16(largest, products)
          total += g[output]
        }
        sum.add(seen, largest: largest)
        for part in 0..<form.parts {
          let first = part * form.tapSide
          var inside = UnsafeRawPointer(x + first).loadUnaligned(as: SIMD8<Float>.self)
          inside[7] = 0
          var least = Float.infinity
          for tap in first..<min(first + form.tapSide, form.taps) { least = min(least, seen[tap]) }
          sum.add(product: inside.sum() * total, least: least)
        }
      }
    }
  }
}
