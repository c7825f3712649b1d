import CPlatform

// The points of a tile mix its 36 pixels, so that each of its outputs is rounded by the largest of
// them, seen or not. Below, magnitudes are sums over channels of |x|.

/// Times by which the magnitude of a tile may exceed what one of its outputs sees: four with even
/// pixels, a little over six at a corner.
private let mostContrast: Float = 32
/// Elements, of equal size, that make up what an output sees, at least: one alone may meet a small weight,
/// or one weight a small element.
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
    withUnsafeTemporaryAllocation(of: Taps.self, capacity: 2 * (rows + columns)) { buffer in
      buffer.initialize(repeating: Taps())
      let sums = buffer.baseAddress!
      let largest = sums + rows + columns
      for row in 0..<rows {
        var (sum, most) = (Taps(), Taps())
        for column in 0..<columns {
          let filter = row * columns + column
          let taps = magnitudes(weights + 9 * filter, isLast: filter + 1 == rows * columns)
          sum += taps
          most.replace(with: taps, where: .!(taps .<= most))
          sums[rows + column] += taps
          largest[rows + column].replace(
            with: taps, where: .!(taps .<= largest[rows + column]))
        }
        (sums[row], largest[row]) = (sum, most)
      }
      let (inputSums, outputSums) = flipped ? (sums, sums + rows) : (sums + rows, sums)
      let outputLargest = flipped ? largest + rows : largest
      for i in 0..<inputs { share[i] = total(inputSums[i]) }
      for o in 0..<outputs where areEven {
        areEven = isEven(
          outputSums[o], largest: nineMax(outputLargest[o]), loneTaps: loneTaps)
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
    let bits = UnsafeRawPointer(filter).loadUnaligned(as: SIMD16<UInt32>.self)
    return unsafeBitCast(bits & 0x7FFF_FFFF, to: Taps.self)
  }

  private func total(_ taps: Taps) -> Float {
    var sum: Float = 0
    for t in 0..<9 { sum += taps[t] }
    return sum
  }

  private func nineMax(_ taps: Taps) -> Float {
    var largest: Float = 0
    for t in 0..<9 { largest = taps[t] <= largest ? largest : taps[t] }
    return largest
  }

  /// Whether no few weights of an output outweigh the others, nor taps those that the image's corners
  /// see.
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
  /// Pixels of all images.
  var pixels: Int { images * height * width }

  /// `sums[p]` and `peaks[p]`, the sum and the largest over c of `|x[p, c]| share[c]`, of all pixels.
  func measure(
    _ x: UnsafePointer<Float>, share: UnsafePointer<Float>, sums: UnsafeMutablePointer<Float>,
    peaks: UnsafeMutablePointer<Float>
  ) {
    let channels = inputs
    parallelFor(pixels, grain: max(1, elementGrain / channels)) { range in
      for p in range {
        var (sum, peak) = (SIMD16<Float>(), SIMD16<Float>())
        for c in stride(from: 0, to: channels, by: 16) {
          let bits = UnsafeRawPointer(x + p * channels + c).loadUnaligned(as: SIMD16<UInt32>.self)
          let value =
            unsafeBitCast(bits & 0x7FFF_FFFF, to: SIMD16<Float>.self)
            * UnsafeRawPointer(share + c).loadUnaligned(as: SIMD16<Float>.self)
          sum += value
          peak.replace(with: value, where: value .> peak)
        }
        (sums[p], peaks[p]) = (sum.sum(), peak.max())
      }
    }
  }

  /// Marks the tiles with an output that sees too little of them, and counts the marks.
  func markUneven(
    sums: UnsafePointer<Float>, peaks: UnsafePointer<Float>, _ weights: WinogradWeights,
    _ isUneven: UnsafeMutablePointer<Bool>
  ) -> Int {
    let limit = min(largestSum, largestSum / max(weights.scale, 0x1p-100))
    parallelFor(tiles, grain: 256) { range in
      for tile in range {
        let (image, top, left) = corner(tile)
        func patch(_ values: UnsafePointer<Float>) -> Patch {
          Patch(
            values, image: image, top: top - paddingHeight, left: left - paddingWidth,
            height: height, width: width)
        }
        let seen = patch(sums)
        let (sum, peak) = (seen.sum, patch(peaks).largest)
        let least = seen.leastSeen(rows: outHeight - top, columns: outWidth - left)
        isUneven[tile] = !(sum <= mostContrast * least && fewest * peak <= least && sum < limit)
      }
    }
    var count = 0
    for tile in 0..<tiles where isUneven[tile] { count += 1 }
    return count
  }
}

/// A tile's 6x6 magnitudes, zeros beyond the image.
private struct Patch {
  private typealias Row = SIMD8<Float>
  private var (a, b, c, d, e, f) = (Row(), Row(), Row(), Row(), Row(), Row())

  init(
    _ magnitudes: UnsafePointer<Float>, image: Int, top: Int, left: Int, height: Int, width: Int
  ) {
    func row(_ y: Int) -> Row {
      var row = Row()
      guard y >= 0, y < height else { return row }
      let source = magnitudes + (image * height + y) * width
      for x in max(left, 0)..<max(left, 0, min(left + 6, width)) { row[x - left] = source[x] }
      return row
    }
    (a, b, c) = (row(top), row(top + 1), row(top + 2))
    (d, e, f) = (row(top + 3), row(top + 4), row(top + 5))
  }

  var sum: Float { (a + b + c + d + e + f).sum() }

  var largest: Float {
    func larger(_ x: Row, _ y: Row) -> Row { x.replacing(with: y, where: y .> x) }
    return larger(larger(larger(a, b), larger(c, d)), larger(e, f)).max()
  }

  /// The least sum of 3x3, over so many rows and columns of outputs.
  func leastSeen(rows: Int, columns: Int) -> Float {
    var least = Float.infinity
    func take(_ down: Row) {
      for x in 0..<min(4, columns) { least = min(least, down[x] + down[x + 1] + down[x + 2]) }
    }
    take(a + b + c)
    if rows > 1 { take(b + c + d) }
    if rows > 2 { take(c + d + e) }
    if rows > 3 { take(d + e + f) }
    return least
  }
}
