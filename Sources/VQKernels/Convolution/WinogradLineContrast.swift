import CPlatform

// The points of a tile mix the pixels of each part, so that each of its outputs is rounded by the
// largest of them, seen or not. Below, magnitudes are sums over channels of |x|.

/// Times by which the magnitude of a tile may exceed what one of its outputs sees, with even taps:
/// up to two and a third with even pixels, twice that at the end of a line.
private let mostContrast: Float = 10
/// Elements, of equal size, that make up what an output sees, at least: one alone may meet a small
/// weight.
private let fewest: Float = 8
/// The largest sum of magnitudes whose points are finite.
private let largestSum: Float = 0x1p110

extension WinogradLines {
  /// Those of the first and the last output.
  var leastTaps: [[Int]] {
    let seen = form.taps - max((padding + dilation - 1) / dilation, form.taps / 2)
    return [Array(0..<seen), Array(form.taps - seen..<form.taps)]
  }

  var markScratchCount: Int { 2 * images * source.imageSize }

  func markUneven(
    _ x: UnsafePointer<Float>, _ weights: WinogradWeights,
    _ isUneven: UnsafeMutablePointer<Bool>, scratch: UnsafeMutablePointer<Float>
  ) -> Int {
    let (channels, pixels, measure) = (inputs, images * source.imageSize, kernels.measurePixels)
    let (sums, peaks) = (scratch, scratch + pixels)
    parallelFor(pixels, grain: max(1, elementGrain / channels)) { range in
      measure(
        x + range.lowerBound * channels, range.count, channels, weights.share,
        sums + range.lowerBound, peaks + range.lowerBound)
    }
    let contrast = mostContrast / weights.unevenness
    let limit = min(largestSum, largestSum / max(weights.scale, 0x1p-100))
    let grain = 512
    parallelFor(tiles, grain: grain) { range in
      // A vector reaches beyond the last tile.
      let room = grain * form.outputSide + 32
      withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * room) { buffer in
        let line = buffer.baseAddress!
        forEachRun(range) { tiles, place in
          let count = tiles.count * form.outputSide + 24
          for (values, copied) in [(sums, line), (peaks, line + room)] {
            copy(
              values + place.source, step: sourceStep, start: place.pixel, size: place.pixels,
              count: count, copied)
          }
          for tile in tiles {
            let first = (tile - tiles.lowerBound) * form.outputSide
            let outputs = min(form.outputSide, place.outputs - place.output - first)
            let seen = seen(line + first, peaks: line + room + first, outputs)
            isUneven[tile] =
              outputs > 0
              && !(seen.sum <= contrast * seen.least && fewest * seen.peak <= seen.least
                && seen.sum < limit)
          }
        }
      }
    }
    var count = 0
    for tile in 0..<tiles where isUneven[tile] { count += 1 }
    return count
  }

  /// The sum over the pixels of a tile's parts, the least sum over those of an output, and the
  /// largest element.
  @inline(__always)
  private func seen(
    _ sums: UnsafePointer<Float>, peaks: UnsafePointer<Float>, _ outputs: Int
  ) -> (sum: Float, least: Float, peak: Float) {
    // By output.
    var windows = SIMD8<Float>()
    for tap in 0..<form.taps {
      windows += UnsafeRawPointer(sums + tap).loadUnaligned(as: SIMD8<Float>.self)
    }
    // What zeros of the last part meet rounds too.
    let reach = form.parts * form.tapSide + form.outputSide - 1
    var all = windows[0]
    for i in form.taps..<reach { all += sums[i] }
    var peak = WinogradGrid.four(peaks + reach - 4)
    for i in stride(from: 0, to: reach - 4, by: 4) {
      peak = vq_larger4(WinogradGrid.four(peaks + i), peak)
    }
    for output in max(outputs, 0)..<8 { windows[output] = .infinity }
    return (all, -vq_largest_lane8(-windows), vq_largest_lane4(peak))
  }
}
