import CPlatform

private typealias Sixteen = SIMD16<Float>

/// `sums[p]` and `peaks[p]`, the sum and the largest over c of `|x[p, c]| share[c]`, of `count`
/// pixels; `channels` is a multiple of 16.
public func measurePixels(
  _ x: UnsafePointer<Float>, count: Int, channels: Int, share: UnsafePointer<Float>,
  sums: UnsafeMutablePointer<Float>, peaks: UnsafeMutablePointer<Float>
) {
  @inline(__always)
  func measure(_ p: Int) -> (sum: SIMD4<Float>, peak: Sixteen) {
    var (sum, peak) = (Sixteen(), Sixteen())
    for c in stride(from: 0, to: channels, by: 16) {
      let value = magnitude(x + p * channels + c) * (share + c).vector(Sixteen.self)
      sum += value
      peak = vq_larger16(value, peak)
    }
    let eight = sum.lowHalf + sum.highHalf
    return (eight.lowHalf + eight.highHalf, peak)
  }
  var p = 0
  while p + 4 <= count {
    let (a, b, c, d) = (measure(p), measure(p + 1), measure(p + 2), measure(p + 3))
    (sums + p).store(fourTotals(a.sum, b.sum, c.sum, d.sum))
    peaks[p] = vq_largest_lane16(a.peak)
    peaks[p + 1] = vq_largest_lane16(b.peak)
    peaks[p + 2] = vq_largest_lane16(c.peak)
    peaks[p + 3] = vq_largest_lane16(d.peak)
    p += 4
  }
  while p < count {
    let (sum, peak) = measure(p)
    sums[p] = sum.sum()
    peaks[p] = vq_largest_lane16(peak)
    p += 1
  }
}

/// `sums[p]`, the sum over c of `|x[p, c]|` of `count` pixels; adds each to `channelSums` and takes
/// the largest into `channelPeaks`, [channels]; `channels` is a multiple of 32.
public func measureChannels(
  _ x: UnsafePointer<Float>, count: Int, channels: Int, sums: UnsafeMutablePointer<Float>,
  channelSums: UnsafeMutablePointer<Float>, channelPeaks: UnsafeMutablePointer<Float>
) {
  sums.update(repeating: 0, count: count)
  for c in stride(from: 0, to: channels, by: 32) {
    // They stay in registers over all pixels.
    var (low, high) = (Sixteen(), Sixteen())
    var (lowPeak, highPeak) = (Sixteen(), Sixteen())
    @inline(__always)
    func measure(_ p: Int) -> SIMD4<Float> {
      let a = magnitude(x + p * channels + c)
      let b = magnitude(x + p * channels + c + 16)
      low += a
      high += b
      lowPeak = vq_larger16(a, lowPeak)
      highPeak = vq_larger16(b, highPeak)
      let eight = (a + b).lowHalf + (a + b).highHalf
      return eight.lowHalf + eight.highHalf
    }
    var p = 0
    while p + 4 <= count {
      let totals = fourTotals(measure(p), measure(p + 1), measure(p + 2), measure(p + 3))
      (sums + p).store(UnsafePointer(sums + p).vector(SIMD4<Float>.self) + totals)
      p += 4
    }
    while p < count {
      sums[p] += measure(p).sum()
      p += 1
    }
    let (target, peak) = (channelSums + c, channelPeaks + c)
    target.store(UnsafePointer(target).vector(Sixteen.self) + low)
    (target + 16).store(UnsafePointer(target + 16).vector(Sixteen.self) + high)
    peak.store(vq_larger16(UnsafePointer(peak).vector(Sixteen.self), lowPeak))
    (peak + 16).store(vq_larger16(UnsafePointer(peak + 16).vector(Sixteen.self), highPeak))
  }
}

@inline(__always)
private func magnitude(_ x: UnsafePointer<Float>) -> Sixteen {
  let value = x.vector(Sixteen.self)
  return vq_larger16(value, -value)
}

/// The sums of the lanes of each of four vectors.
@inline(__always)
private func fourTotals(
  _ a: SIMD4<Float>, _ b: SIMD4<Float>, _ c: SIMD4<Float>, _ d: SIMD4<Float>
) -> SIMD4<Float> {
  let first =
    SIMD4(lowHalf: a.evenHalf, highHalf: b.evenHalf)
    + SIMD4(lowHalf: a.oddHalf, highHalf: b.oddHalf)
  let second =
    SIMD4(lowHalf: c.evenHalf, highHalf: d.evenHalf)
    + SIMD4(lowHalf: c.oddHalf, highHalf: d.oddHalf)
  return SIMD4(lowHalf: first.evenHalf, highHalf: second.evenHalf)
    + SIMD4(lowHalf: first.oddHalf, highHalf: second.oddHalf)
}
