/// Codes in one tile of products.
let productCodes = 512

/// A codebook minus its mean, with half the squared norms that the scores need.
final class CenteredCodebook {
  let source: UnsafePointer<Float>
  let k: Int
  let d: Int
  let center: UnsafeMutablePointer<Float>
  let codes: UnsafeMutablePointer<Float>  // [k, d]
  let halfNorms: UnsafeMutablePointer<Float>  // [k]
  private(set) var maximumNorm = 0.0
  private(set) var nonFinite: Int?

  /// Whether no score can overflow and the bound's slack factor covers every higher-order term.
  var isProductSafe: Bool { maximumNorm < 1e18 && d <= 1 << 17 }

  init(_ source: UnsafePointer<Float>, codes k: Int, width d: Int) {
    self.source = source
    self.k = k
    self.d = d
    center = .allocate(capacity: max(d, 1))
    codes = .allocate(capacity: max(k * d, 1))
    halfNorms = .allocate(capacity: k)

    let sums = UnsafeMutablePointer<Double>.allocate(capacity: max(d, 1))
    defer { sums.deallocate() }
    sums.initialize(repeating: 0, count: d)
    for j in 0..<k {
      let row = source + j * d
      for i in 0..<d { sums[i] += Double(row[i]) }
    }
    for i in 0..<d { center[i] = Float(sums[i] / Double(k)) }

    let grain = max(1, elementGrain / max(d, 1))
    let parts = (k + grain - 1) / grain
    var largest = [Double](repeating: 0, count: parts)
    var bad = [Int](repeating: k * d, count: parts)
    let (center, codes, halfNorms) = (center, codes, halfNorms)
    largest.withUnsafeMutableBufferPointer { largest in
      bad.withUnsafeMutableBufferPointer { bad in
        parallelFor(k, grain: grain) { range in
          let part = range.lowerBound / grain
          for j in range {
            let row = source + j * d
            let out = codes + j * d
            for i in 0..<d { out[i] = row[i] - center[i] }
            let squares = squaredDistance(row, center, width: d)
            halfNorms[j] = Float(squares / 2)
            largest[part] = max(largest[part], squares)
            if !squares.isFinite, let first = firstNonFinite(row, count: d) {
              bad[part] = min(bad[part], j * d + first)
            }
          }
        }
      }
    }
    if let first = bad.min(), first < k * d { nonFinite = first }
    maximumNorm = (largest.max() ?? 0).squareRoot()
  }

  deinit {
    center.deallocate()
    codes.deallocate()
    halfNorms.deallocate()
  }

  /// How far a float32 score of a point at distance `norm` from the centre can be from the exact
  /// `|E|^2/2 - X.E`, where X = x - c, E = e - c and M >= |E|, u = 2^-24:
  ///
  /// - d products in any order, with or without rounding of each, summed with half the norm,
  ///   (d + 3) u (|X| M + M^2/2);
  /// - the operands' rounding, (2u + u^2) |X| M, and that of half the norm, u M^2/2.
  ///
  /// In all less than (d + 6) u (|X| M + M^2/2); 1.1 covers the second order while d u < 2^-7, and the
  /// rounding of a score minus a margin. The second term is the Float64 rounding of the defining sum; the
  /// third, underflow of single products.
  func bound(_ norm: Double) -> Double {
    let width = Double(d)
    let first = 0x1p-24 * (width + 6) * maximumNorm * (norm + maximumNorm / 2)
    let reach = norm + maximumNorm
    return 1.1 * first + (width + 4) * 0x1p-52 * reach * reach + (width + 4) * 0x1p-125
      * (1 + reach)
  }
}

extension CenteredCodebook {
  /// Writes `row` minus the centre to `out` and gives a bound of its length; nil where the row is not finite.
  func center(_ row: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>) -> Double? {
    for i in 0..<d { out[i] = row[i] - center[i] }
    let squares = squaredLength(out, count: d)
    if !squares.isFinite, firstNonFinite(row, count: d) != nil { return nil }
    return lengthBound(squares, width: d)
  }

  /// How far the scores of two codes can stand in the wrong order for a point at distance `norm` from the
  /// centre, `extra` being what the caller adds to the bound of one; +inf where a score could overflow.
  func margin(_ norm: Double, extra: Double = 0) -> Float {
    let isSafe = norm < 1e18 && norm * maximumNorm < 1e36
    return isSafe ? Float(2 * (bound(norm) + extra)).nextUp : .infinity
  }

  /// `margin` by its terms, for the kernels: a + b X + c X^2 + e L bounds it for a point at distance X from the
  /// centre, while X is below the last but one term; the last is to be added to lengths.
  ///
  /// With codes that rounding to bfloat16 moved by up to `codesLost`, and a point that it moved by L, the
  /// products change by at most `L M + (X + L) codesLost`; rounded operands are up to 2^-8 longer.
  func marginTerms(codesLost: Double? = nil) -> [Float] {
    let (width, m) = (Double(d), maximumNorm)
    let first = 1.1 * 0x1p-24 * (width + 6) * m
    let (second, third) = ((width + 4) * 0x1p-52, (width + 4) * 0x1p-125)
    let lost = codesLost ?? 0
    let longer = codesLost == nil ? 1 : 1.02
    let terms = [
      longer * (first * m / 2 + second * m * m + third * (1 + m)),
      longer * (first + 2 * second * m + third) + lost,
      longer * second,
      codesLost == nil ? 0 : m + lost,
    ]
    let longest = isProductSafe ? min(1e18, 1e36 / max(m, 1e-30)) : 0
    // 1.0001 covers the float32 rounding of the terms and of their sum.
    return terms.map { Float(2 * 1.0001 * $0).nextUp }
      + [Float(longest), Float(2.1e-18 * width.squareRoot())]
  }
}

@inline(__always)
func smallest(_ vector: SIMD16<Float>) -> Float {
  let half = vector.lowHalf.replacing(
    with: vector.highHalf, where: vector.highHalf .< vector.lowHalf)
  let quarter = half.lowHalf.replacing(with: half.highHalf, where: half.highHalf .< half.lowHalf)
  return min(min(quarter[0], quarter[1]), min(quarter[2], quarter[3]))
}

/// A bound of the length whose square came out as `squares` in float32.
func lengthBound(_ squares: Float, width d: Int) -> Double {
  // Below 1e-36 d the squares may have underflowed; above, they lost less than 2%.
  max(1.02 * Double(squares).squareRoot(), 2e-18 * Double(d).squareRoot())
}
