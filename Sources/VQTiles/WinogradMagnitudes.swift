import CPlatform

@inline(__always)
private func magnitude(_ x: UnsafePointer<Float>) -> Lanes {
  let value = x.vector(Lanes.self)
  return larger(value, -value)
}

/// `sums[p]` and `peaks[p]`, the sum and the largest over c of `|x[p, c]| share[c]`, of `count` pixels.
public func measurePixels(
  _ x: UnsafePointer<Float>, count: Int, channels: Int, share: UnsafePointer<Float>,
  sums: UnsafeMutablePointer<Float>, peaks: UnsafeMutablePointer<Float>
) {
  for p in 0..<count {
    var (sum, peak) = (Lanes(), Lanes())
    for c in stride(from: 0, to: channels, by: Lanes.scalarCount) {
      let value = magnitude(x + p * channels + c) * (share + c).vector(Lanes.self)
      sum += value
      peak = larger(value, peak)
    }
    sums[p] = total(sum)
    peaks[p] = largestLane(peak)
  }
}

/// `sums[p]`, the sum over c of `|x[p, c]|` of `count` pixels; adds each to `channelSums` and takes the
/// largest into `channelPeaks`, [channels].
public func measureChannels(
  _ x: UnsafePointer<Float>, count: Int, channels: Int, sums: UnsafeMutablePointer<Float>,
  channelSums: UnsafeMutablePointer<Float>, channelPeaks: UnsafeMutablePointer<Float>
) {
  sums.update(repeating: 0, count: count)
  // Two vectors of channels stay in registers over all pixels.
  let lanes = Lanes.scalarCount
  for c in stride(from: 0, to: channels, by: 2 * lanes) {
    var (low, high) = (Lanes(), Lanes())
    var (lowPeak, highPeak) = (Lanes(), Lanes())
    for p in 0..<count {
      let (a, b) = (
        magnitude(x + p * channels + c), magnitude(x + p * channels + c + lanes)
      )
      low += a
      high += b
      lowPeak = larger(a, lowPeak)
      highPeak = larger(b, highPeak)
      sums[p] += total(a + b)
    }
    let (target, peak) = (channelSums + c, channelPeaks + c)
    target.store(UnsafePointer(target).vector(Lanes.self) + low)
    (target + lanes).store(UnsafePointer(target + lanes).vector(Lanes.self) + high)
    peak.store(larger(UnsafePointer(peak).vector(Lanes.self), lowPeak))
    (peak + lanes).store(larger(UnsafePointer(peak + lanes).vector(Lanes.self), highPeak))
  }
}

@inline(__always)
private func largestLane(_ x: Lanes) -> Float {
  #if VQ_AVX512
    vq_largest_lane16(x)
  #elseif VQ_AVX2
    vq_largest_lane8(x)
  #else
    vq_largest_lane4(x)
  #endif
}
