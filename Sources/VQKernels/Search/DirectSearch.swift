/// Whether `nearestOfFew` is faster than `nearestCode` though the codebook is packed.
public func areFew(_ n: Int, width d: Int) -> Bool {
  n < TileKernels.usable.panelPoints && d >= 4
}

/// What `nearestCode` gives, without a packed codebook.
public func nearestOfFew(
  _ x: UnsafePointer<Float>, count n: Int, _ codebook: UnsafePointer<Float>, codes k: Int,
  width d: Int, _ codes: UnsafeMutablePointer<Int32>
) -> NonFiniteInput? {
  let underflow = GradualUnderflow()
  defer { underflow.end() }
  return DirectSearch(x, count: n, codebook, codes: k, width: d, .usable).find(codes)
}

public func nearestOfFew(
  _ x: UnsafePointer<Double>, count n: Int, _ codebook: UnsafePointer<Double>, codes k: Int,
  width d: Int, _ codes: UnsafeMutablePointer<Int32>
) -> NonFiniteInput? {
  let underflow = GradualUnderflow()
  defer { underflow.end() }
  return DirectSearch(x, count: n, codebook, codes: k, width: d, .usable).find(codes)
}

/// The nearest codes of few points, by distances to the codes as they lie in memory: nothing is
/// made of the codebook first.
///
/// A sum of d squares is within `(d + 3) u` of itself in any order, u that of the element type, if
/// none of them overflows or underflows; the codes within twice that of the least are ranked by the
/// definition.
private struct DirectSearch<Element: SearchElement> {
  private let x: UnsafePointer<Element>
  private let n: Int
  private let codebook: UnsafePointer<Element>
  private let k: Int
  private let d: Int
  private let kernels: TileKernels

  init(
    _ x: UnsafePointer<Element>, count n: Int, _ codebook: UnsafePointer<Element>, codes k: Int,
    width d: Int, _ kernels: TileKernels
  ) {
    (self.x, self.n, self.codebook, self.k, self.d) = (x, n, codebook, k, d)
    self.kernels = kernels
  }

  /// Writes the codes; returns where an input is not finite.
  func find(_ codes: UnsafeMutablePointer<Int32>) -> NonFiniteInput? {
    if let bad = (0..<n * d).first(where: { !x[$0].isFinite }) { return .point(bad) }
    let distances = UnsafeMutablePointer<Element>.allocate(capacity: n * k)
    defer { distances.deallocate() }
    measure(0..<n, scale: 1, distances)
    var isChecked = false
    for r in 0..<n {
      let own = distances + r * k
      var (least, nearest, isFinite) = smallest(own)
      if !isFinite, !isChecked {
        if let bad = (0..<k * d).first(where: { !codebook[$0].isFinite }) { return .code(bad) }
        isChecked = true
      }
      var tries = 0
      while !(safe ~= least), tries < 4, let scale = scale(r, nearest) {
        measure(r..<r + 1, scale: scale, own)
        (least, nearest, isFinite) = smallest(own)
        // A difference of elements that overflows need not be the larger distance.
        if !isFinite, scale < 1 { least = .infinity }
        tries += 1
      }
      codes[r] = decide(r, own, least)
    }
    return nil
  }

  /// Sums in which nothing that matters overflowed or underflowed.
  private var safe: ClosedRange<Element> {
    let factor = Element(sign: .plus, exponent: 30, significand: 1)
    return Element.leastNormalMagnitude * factor...Element.greatestFiniteMagnitude / factor
  }

  /// What brings the distance of `code` near 1; nil where the definition says 0 or infinity.
  private func scale(_ r: Int, _ code: Int) -> Element? {
    let distance = squaredDistance(x + r * d, codebook + code * d, width: d).squareRoot()
    guard distance > 0, distance.isFinite else { return nil }
    let most = Element.self == Float.self ? 120 : 1000
    let exponent = min(max(-Int(distance.exponent), -most), most)
    return Element(sign: .plus, exponent: Element.Exponent(exponent), significand: 1)
  }

  /// `out[r, j]` = the squared scaled distance of row r of `rows` to code j.
  private func measure(_ rows: Range<Int>, scale: Element, _ out: UnsafeMutablePointer<Element>) {
    let block = max(8, (1 << 12) / d / 8 * 8)
    let blocks = (k + block - 1) / block
    parallelFor(blocks, grain: max(1, (1 << 19) / (block * d * rows.count))) { range in
      for index in range {
        let first = index * block
        for r in rows {
          Element.directDistances(
            x + r * d, codebook + first * d, count: min(block, k - first), width: d, scale: scale,
            kernels, out + (r - rows.lowerBound) * k + first)
        }
      }
    }
  }

  /// The least of the distances, where it is first, and whether all are finite.
  private func smallest(
    _ distances: UnsafePointer<Element>
  ) -> (least: Element, code: Int, isFinite: Bool) {
    var least = Element.infinity
    var first = 0
    var sum: Element = 0
    var j = 0
    while j < k {
      let end = min(j + 64, k)
      var own = Element.infinity
      for l in j..<end {
        let value = distances[l]
        own = value < own ? value : own
        sum += value - value
      }
      if own < least { (least, first) = (own, j) }
      j = end
    }
    let code = (first..<min(first + 64, k)).first { distances[$0] == least } ?? 0
    return (least, code, sum == 0)
  }

  /// The nearest by the definition of the codes that can be it.
  private func decide(_ r: Int, _ distances: UnsafePointer<Element>, _ least: Element) -> Int32 {
    var limit = Element.infinity
    if safe ~= least {
      limit = least * (1 + Element(d + 8) * Element.ulpOfOne * 2)
    } else if squaredDistance(x + r * d, codebook + smallest(distances).code * d, width: d) == 0 {
      limit = safe.lowerBound
    }
    var (nearest, shortest) = (0, Double.infinity)
    withUnsafeTemporaryAllocation(of: RankedCode.self, capacity: 64) { found in
      var count = 0
      func rank() {
        measureDistances(
          UnsafeMutableBufferPointer(rebasing: found[..<count]), x + r * d, codebook, width: d)
        for place in 0..<count where found[place].distance < shortest {
          (nearest, shortest) = (found[place].code, found[place].distance)
        }
        count = 0
      }
      for j in 0..<k where !(distances[j] > limit) {
        found[count].code = j
        count += 1
        if count == 64 { rank() }
        if shortest == 0 { break }
      }
      rank()
    }
    return Int32(nearest)
  }
}
