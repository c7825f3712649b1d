import CPlatform

// A weight's gradient sums x * gradient over the pixels of a tap. In points, a tile's part of it is
// rounded by the product of its largest x and its largest gradient, whatever the tap sees of them.

/// Times by which that product may exceed what a tap sees: 36 where all is even, more at corners.
private let mostContrast = 360.0
/// Parts of a channel that its largest element may make up, where it exceeds other channels too.
private let largestPart: Float = 1 / 16
private let mostBeyondOthers: Float = 64
private let largestMagnitude: Float = 0x1p48
/// Sums are taken over so many ranges of pixels and tiles, and added in order.
private let ranges = 16

/// Magnitudes of images [pixels, channels].
private struct ImageMagnitudes {
  /// By pixel, summed over channels.
  let pixels: UnsafeMutablePointer<Float>
  /// Whether no few elements make up a channel.
  private(set) var areEven = true

  /// - Parameter scratch: room for `scratchCount`.
  init(
    _ x: UnsafePointer<Float>, pixels count: Int, channels: Int,
    scratch: UnsafeMutablePointer<Float>
  ) {
    pixels = scratch
    let sums = scratch + count
    let largest = sums + ranges * channels
    sums.update(repeating: 0, count: 2 * ranges * channels)
    let length = (count + ranges - 1) / ranges
    let pixels = pixels
    parallelFor(ranges, grain: 1) { parts in
      for part in parts {
        let (sums, largest) = (sums + part * channels, largest + part * channels)
        for p in min(part * length, count)..<min((part + 1) * length, count) {
          var sum = SIMD16<Float>()
          for c in stride(from: 0, to: channels, by: 16) {
            let value = absolute(x + p * channels + c)
            let before = UnsafeRawPointer(largest + c).loadUnaligned(as: SIMD16<Float>.self)
            sum += value
            UnsafeMutableRawPointer(sums + c).storeBytes(
              of: UnsafeRawPointer(sums + c).loadUnaligned(as: SIMD16<Float>.self) + value,
              as: SIMD16<Float>.self)
            UnsafeMutableRawPointer(largest + c).storeBytes(
              of: before.replacing(with: value, where: value .> before), as: SIMD16<Float>.self)
          }
          pixels[p] = sum.sum()
        }
      }
    }
    for part in 1..<ranges {
      for c in 0..<channels {
        sums[c] += sums[part * channels + c]
        largest[c] = max(largest[c], largest[part * channels + c])
      }
    }
    var total: Float = 0
    for c in 0..<channels { total += sums[c] }
    let typical = total / (Float(count) * Float(channels))
    for c in 0..<channels {
      let allowed = max(largestPart * sums[c], mostBeyondOthers * typical)
      areEven = areEven && sums[c] < .infinity && largest[c] <= min(allowed, largestMagnitude)
    }
  }

  static func scratchCount(pixels: Int, channels: Int) -> Int { pixels + 2 * ranges * channels }
}

@inline(__always)
private func absolute(_ x: UnsafePointer<Float>) -> SIMD16<Float> {
  let bits = UnsafeRawPointer(x).loadUnaligned(as: SIMD16<UInt32>.self)
  return unsafeBitCast(bits & 0x7FFF_FFFF, to: SIMD16<Float>.self)
}

/// What a tile adds to the gradients of the nine taps, in magnitudes summed over channels.
private struct TileMagnitudes {
  /// Of all its inputs times all its gradients.
  var product = 0.0
  var taps = Taps()
  typealias Taps = SIMD16<Double>

  var least: Double { TileMagnitudes.least(taps) }

  static func least(_ taps: Taps) -> Double {
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
    let inputs = ImageMagnitudes(x, pixels: pixels, channels: inputs, scratch: scratch)
    guard inputs.areEven else { return false }
    let outputs = ImageMagnitudes(
      gradient, pixels: outPixels, channels: outputs,
      scratch: scratch + ImageMagnitudes.scratchCount(pixels: pixels, channels: self.inputs))
    guard outputs.areEven else { return false }

    // By range, the sums of the taps; by tile, the excess of its product.
    let length = (tiles + ranges - 1) / ranges
    return withUnsafeTemporaryAllocation(of: TileMagnitudes.self, capacity: ranges) { sums in
      sums.initialize(repeating: TileMagnitudes())
      let sums = sums.baseAddress!
      parallelFor(ranges, grain: 1) { parts in
        for part in parts {
          var sum = TileMagnitudes()
          for tile in min(part * length, tiles)..<min((part + 1) * length, tiles) {
            let magnitudes = magnitudes(tile, inputs.pixels, outputs.pixels)
            sum.taps += magnitudes.taps
            if magnitudes.product > mostContrast * magnitudes.least {
              sum.product = max(sum.product, magnitudes.product)
            }
          }
          sums[part] = sum
        }
      }
      var (taps, largest) = (TileMagnitudes.Taps(), 0.0)
      for part in 0..<ranges {
        taps += sums[part].taps
        largest = max(largest, sums[part].product)
      }
      return largest <= mostContrast * TileMagnitudes.least(taps) / Double(tiles)
    }
  }

  func evenScratchCount() -> Int {
    ImageMagnitudes.scratchCount(pixels: pixels, channels: inputs)
      + ImageMagnitudes.scratchCount(pixels: outPixels, channels: outputs)
  }

  private var outPixels: Int { images * outHeight * outWidth }

  private func magnitudes(
    _ tile: Int, _ x: UnsafePointer<Float>, _ gradient: UnsafePointer<Float>
  ) -> TileMagnitudes {
    let (image, top, left) = corner(tile)
    var (result, inside, outside) = (TileMagnitudes(), 0.0, 0.0)
    for y in top..<min(top + 4, outHeight) {
      for x1 in left..<min(left + 4, outWidth) {
        let value = Double(gradient[(image * outHeight + y) * outWidth + x1])
        outside += value
        if value == 0 { continue }
        for row in 0..<3 {
          let y1 = y - paddingHeight + row
          guard y1 >= 0, y1 < height else { continue }
          let source = x + (image * height + y1) * width
          for column in 0..<3 {
            let x2 = x1 - paddingWidth + column
            if x2 >= 0, x2 < width { result.taps[3 * row + column] += value * Double(source[x2]) }
          }
        }
      }
    }
    for y in max(top - paddingHeight, 0)..<max(0, min(top - paddingHeight + 6, height)) {
      let source = x + (image * height + y) * width
      for x1 in max(left - paddingWidth, 0)..<max(0, min(left - paddingWidth + 6, width)) {
        inside += Double(source[x1])
      }
    }
    result.product = inside * outside
    return result
  }
}
