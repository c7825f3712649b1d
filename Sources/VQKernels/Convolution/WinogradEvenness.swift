import CPlatform

// A weight's gradient sums x * gradient over the pixels of a tap. In points, a tile's part of it is
// rounded by the product of its largest x and its largest gradient, whatever the tap sees of them.

/// Products of equal size that make up what a tap sees, at least: in a few alone a channel may be
/// small, which the sums over channels do not tell.
private let fewest: Float = 8
/// Parts of a channel that its largest element may make up, where it exceeds other channels too.
private let largestPart: Float = 1 / 16
private let mostBeyondOthers: Float = 64
private let largestMagnitude: Float = 0x1p48

/// Sums are taken over so many ranges of pixels and tiles, and added in order.
let winogradRanges = 16

extension Int {
  /// The part of this number, of `winogradRanges`, of `0..<count`.
  func share(of count: Int) -> Range<Int> {
    let length = (count + winogradRanges - 1) / winogradRanges
    return Swift.min(self * length, count)..<Swift.min((self + 1) * length, count)
  }
}

/// Sums of magnitudes and largest by channel of images, of each range of pixels.
struct ChannelMagnitudes {
  let channels: Int
  private let sums, peaks: UnsafeMutablePointer<Float>

  /// - Parameter scratch: room for `scratchCount`.
  init(channels: Int, scratch: UnsafeMutablePointer<Float>) {
    self.channels = channels
    sums = scratch
    peaks = sums + winogradRanges * channels
    sums.update(repeating: 0, count: Self.scratchCount(channels: channels))
  }

  static func scratchCount(channels: Int) -> Int { 2 * winogradRanges * channels }

  func sums(_ range: Int) -> UnsafeMutablePointer<Float> { sums + range * channels }
  func peaks(_ range: Int) -> UnsafeMutablePointer<Float> { peaks + range * channels }

  /// Whether no few elements make up a channel of `pixels`.
  func areEven(pixels: Int) -> Bool {
    for range in 1..<winogradRanges {
      for c in 0..<channels {
        sums[c] += sums(range)[c]
        peaks[c] = max(peaks[c], peaks(range)[c])
      }
    }
    var total: Float = 0
    for c in 0..<channels { total += sums[c] }
    let typical = total / Float(pixels * channels)
    return (0..<channels).allSatisfy { c in
      let allowed = max(largestPart * sums[c], mostBeyondOthers * typical)
      return sums[c] < .infinity && peaks[c] <= min(allowed, largestMagnitude)
    }
  }
}

/// What tiles add to the gradients of taps, in magnitudes summed over channels.
struct TapMagnitudes {
  /// Times by which the product of all a tile's inputs and all its gradients may exceed what a tap
  /// sees of it.
  let mostContrast: Float
  private var taps = SIMD32<Float>()
  /// The largest product of one pixel by tap.
  private var peaks = SIMD32<Float>()
  /// The largest product of a tile of which a tap sees little.
  private var product: Float = 0

  init(mostContrast: Float) { self.mostContrast = mostContrast }

  /// Adds what a tap sees of a tile, and the largest of it.
  @inline(__always)
  mutating func add(_ seen: Float, largest: Float, to tap: Int) {
    taps[tap] += seen
    peaks[tap] = max(peaks[tap], largest)
  }

  /// Adds what the first taps see of a tile, and the largest of it.
  @inline(__always)
  mutating func add(_ seen: SIMD16<Float>, largest: SIMD16<Float>) {
    taps.lowHalf += seen
    peaks.lowHalf = vq_larger16(peaks.lowHalf, largest)
  }

  /// Adds a tile by its product and the least that a tap sees of it.
  @inline(__always)
  mutating func add(product: Float, least: Float) {
    if product > mostContrast * least { self.product = max(self.product, product) }
  }

  mutating func add(_ other: TapMagnitudes) {
    taps += other.taps
    product = max(product, other.product)
    peaks = pointwiseMax(peaks, other.peaks)
  }

  /// Whether each of `count` taps sees enough of `tiles`, and many products of it.
  func areEven(_ count: Int, tiles: Int) -> Bool {
    var least = taps[0]
    for t in 0..<count {
      guard fewest * peaks[t] <= taps[t], taps[t] < .infinity else { return false }
      least = min(least, taps[t])
    }
    return product <= mostContrast * (least / Float(tiles))
  }

  /// The sum over all tiles; `add` adds some.
  static func sum(
    over tiles: Int, mostContrast: Float, _ add: (Range<Int>, inout TapMagnitudes) -> Void
  ) -> TapMagnitudes {
    withUnsafeTemporaryAllocation(of: TapMagnitudes.self, capacity: winogradRanges) { sums in
      sums.initialize(repeating: TapMagnitudes(mostContrast: mostContrast))
      let sums = sums.baseAddress!
      parallelFor(winogradRanges, grain: 1) { parts in
        for part in parts {
          var sum = TapMagnitudes(mostContrast: mostContrast)
          add(part.share(of: tiles), &sum)
          sums[part] = sum
        }
      }
      var all = TapMagnitudes(mostContrast: mostContrast)
      for part in 0..<winogradRanges { all.add(sums[part]) }
      return all
    }
  }
}
