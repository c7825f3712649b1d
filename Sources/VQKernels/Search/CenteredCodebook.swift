/// Codes in one tile of products.
let productCodes = 512

/// A codebook minus its mean, with half the squared norms that the scores need.
///
/// Where `isScaled`, codes are multiplied by a power of two that brings the longest near length 1,
/// and so are points; elements below 2^-60 then count as 0, so that no product is denormal. A few
/// codes much longer than the others are left out, with infinite norms: they are among the `wanted`
/// nearest of no point within `longestPoint`.
final class CenteredCodebook {
  let k: Int
  let d: Int
  let center: UnsafeMutablePointer<Double>
  /// The same, which float32 holds where the codebook is float32.
  let floatCenter: UnsafeMutablePointer<Float>
  let codes: UnsafeMutablePointer<Float>  // [k, d]
  let halfNorms: UnsafeMutablePointer<Float>  // [k]
  let scale: Double
  private let isScaled: Bool
  private(set) var maximumNorm = 0.0
  private(set) var longestPoint = Double.infinity
  private(set) var nonFinite: Int?

  /// Whether no score can overflow and the bound's slack factor covers every higher-order term.
  var isProductSafe: Bool { maximumNorm < 1e18 && d <= 1 << 17 }

  init<Element: SearchElement>(
    _ source: UnsafePointer<Element>, codes k: Int, width d: Int, isScaled: Bool = false,
    wanted: Int = 1
  ) {
    let underflow = GradualUnderflow()
    defer { underflow.end() }
    self.k = k
    self.d = d
    self.isScaled = isScaled
    let center = UnsafeMutablePointer<Double>.allocate(capacity: max(d, 1))
    let floatCenter = UnsafeMutablePointer<Float>.allocate(capacity: max(d, 1))
    let codes = UnsafeMutablePointer<Float>.allocate(capacity: max(k * d, 1))
    let halfNorms = UnsafeMutablePointer<Float>.allocate(capacity: k)
    (self.center, self.floatCenter) = (center, floatCenter)
    (self.codes, self.halfNorms) = (codes, halfNorms)
    let squares = UnsafeMutablePointer<Double>.allocate(capacity: k)
    defer { squares.deallocate() }
    let grain = max(1, elementGrain / max(d, 1))

    func measure(_ isLeftOut: [Bool]?) {
      center.initialize(repeating: 0, count: d)
      var count = 0
      for j in 0..<k where !(isLeftOut?[j] ?? false) {
        let row = source + j * d
        for i in 0..<d { center[i] += Double(row[i]) }
        count += 1
      }
      for i in 0..<d {
        let mean = center[i] / Double(count)
        floatCenter[i] = Float(mean)
        center[i] = Element.self == Float.self ? Double(floatCenter[i]) : mean
      }
      parallelFor(k, grain: grain) { range in
        for j in range { squares[j] = squaredLength(source + j * d, less: center, count: d) }
      }
    }
    measure(nil)
    for j in 0..<k where !squares[j].isFinite {
      nonFinite = (0..<d).first { !source[j * d + $0].isFinite }.map { j * d + $0 }
      if nonFinite != nil { break }
    }
    let isFar = isScaled ? farCodes(squares, count: k) : nil
    if isFar != nil { measure(isFar) }

    var largest = 0.0
    for j in 0..<k where !(isFar?[j] ?? false) { largest = max(largest, squares[j]) }
    let norm = largest.squareRoot()
    let isExtreme = isScaled && norm > 0 && norm.isFinite && !(0x1p-4...0x1p16 ~= norm)
    let scale = isExtreme ? Double(sign: .plus, exponent: -norm.exponent, significand: 1) : 1
    // Float32 holds the scale of float32 points.
    self.scale = Element.self == Float.self ? min(max(scale, 0x1p-120), 0x1p120) : scale
    maximumNorm = norm * self.scale
    if let isFar {
      longestPoint = self.scale * VQKernels.longestPoint(squares, isFar, wanted: wanted)
    }
    let (factor, least): (Double, Float) = (self.scale, leastElement)
    parallelFor(k, grain: grain) { range in
      for j in range {
        if isFar?[j] ?? false {
          halfNorms[j] = .infinity
          (codes + j * d).initialize(repeating: 0, count: d)
        } else {
          halfNorms[j] = Float(squares[j] * factor * factor / 2)
          centerRow(source + j * d, center, scale: factor, least: least, width: d, codes + j * d)
        }
      }
    }
  }

  deinit {
    center.deallocate()
    floatCenter.deallocate()
    codes.deallocate()
    halfNorms.deallocate()
  }

  /// `out` = `row` less the center, scaled.
  @inline(__always)
  func center<Element: SearchElement>(
    _ row: UnsafePointer<Element>, _ out: UnsafeMutablePointer<Float>
  ) {
    centerRow(row, center, scale: scale, least: leastElement, width: d, out)
  }

  /// How far a float32 score of a point at distance `norm` from the center can be from the exact
  /// `|E|^2/2 - X.E`, where X = x - c, E = e - c and M >= |E|, u = 2^-24:
  ///
  /// - d products in any order, with or without rounding of each, summed with half the norm,
  ///   (d + 3) u (|X| M + M^2/2);
  /// - the operands' rounding, (2u + u^2) |X| M, and that of half the norm, u M^2/2.
  ///
  /// In all less than (d + 6) u (|X| M + M^2/2); 1.1 covers the second order while d u < 2^-7, and
  /// the rounding of a score minus a margin. The second term is the Float64 rounding of the
  /// defining sum; the third, elements taken for 0; the last, underflow in Float64.
  func bound(_ norm: Double) -> Double {
    let width = Double(d)
    let first = 0x1p-24 * (width + 6) * maximumNorm * (norm + maximumNorm / 2)
    let reach = norm + maximumNorm
    return 1.1 * first + (width + 4) * 0x1p-52 * reach * reach + lost.alone + lost.byLength * reach
      + underflow
  }

  private var leastElement: Float { isScaled ? 0x1p-60 : 0 }

  /// What elements taken for 0, or products that underflow, add to the bound: at all, and for each
  /// length.
  private var lost: (alone: Double, byLength: Double) {
    let width = Double(d + 4)
    return isScaled ? (width * 0x1p-116, width * 0x1p-58) : (width * 0x1p-125, width * 0x1p-125)
  }

  private var underflow: Double { Double(d + 4) * (0x1p-537 * scale) * (0x1p-537 * scale) }
}

extension CenteredCodebook {
  /// Writes `row` minus the center to `out` and gives a bound of its length; nil where the row is
  /// not finite.
  @inline(__always)
  func boundedCenter<Element: SearchElement>(
    _ row: UnsafePointer<Element>, _ out: UnsafeMutablePointer<Float>
  ) -> Double? {
    center(row, out)
    let squares = squaredLength(out, count: d)
    if !squares.isFinite, (0..<d).contains(where: { !row[$0].isFinite }) { return nil }
    return lengthBound(squares, width: d)
  }

  /// How far the scores of two codes can stand in the wrong order for a point at distance `norm`
  /// from the center, `extra` being what the caller adds to the bound of one; +inf where a score
  /// could overflow.
  func margin(_ norm: Double, extra: Double = 0) -> Float {
    let isSafe = norm < min(1e18, longestPoint) && norm * maximumNorm < 1e36
    return isSafe ? Float(2 * (bound(norm) + extra)).nextUp : .infinity
  }

  /// `margin` by its terms, for the kernels: a + b X + c X^2 + e L bounds it for a point at
  /// distance X from the center, while X is below the last but one term; the last is to be added to
  /// lengths.
  ///
  /// With codes that rounding to two bytes an element moved by up to `codesLost`, and a point that
  /// it moved by L, the products change by at most `L M + (X + L) codesLost`; rounded operands are
  /// up to 2% longer.
  func marginTerms(codesLost: Double? = nil) -> [Float] {
    let (width, m) = (Double(d), maximumNorm)
    let first = 1.1 * 0x1p-24 * (width + 6) * m
    let second = (width + 4) * 0x1p-52
    let moved = codesLost ?? 0
    let longer = codesLost == nil ? 1 : 1.02
    let terms = [
      longer * (first * m / 2 + second * m * m + lost.alone + lost.byLength * m + underflow),
      longer * (first + 2 * second * m + lost.byLength) + moved,
      longer * second,
      codesLost == nil ? 0 : m + moved,
    ]
    let longest = isProductSafe ? min(1e18, 1e36 / max(m, 1e-30), longestPoint) : 0
    // 1.0001 covers the float32 rounding of the terms and of their sum.
    return terms.map { Float(2 * 1.0001 * $0).nextUp }
      + [Float(longest), Float(2.1e-18 * width.squareRoot())]
  }
}

/// The codes so much longer than most that bounds by the longest would decide nothing: at most
/// half, each at least four times as long as the longest other one, or at least 32 times as long as
/// the median; nil for none.
private func farCodes(_ squares: UnsafePointer<Double>, count k: Int) -> [Bool]? {
  var limit = Double.infinity  // squares from here on are left out
  while true {
    var largest = 0.0
    for j in 0..<k where squares[j] < limit { largest = max(largest, squares[j]) }
    var long = 0
    for j in 0..<k where squares[j] >= largest / 64 { long += 1 }
    guard largest > 0, 2 * long < k else { break }
    limit = largest / 64
  }
  var (largest, leastFar) = (0.0, Double.infinity)
  for j in 0..<k {
    if squares[j] < limit {
      largest = max(largest, squares[j])
    } else {
      leastFar = min(leastFar, squares[j])
    }
  }
  if !leastFar.isFinite || leastFar < 16 * largest {
    let most = UnsafeBufferPointer(start: squares, count: k).max() ?? 0
    // So many lie up to a number that the median does; sorting waits until it is known to serve.
    guard 2 * (0..<k).count(where: { squares[$0] <= most / 1024 }) > k else { return nil }
    limit = 1024 * UnsafeBufferPointer(start: squares, count: k).sorted()[k / 2]
    guard limit > 0, limit <= most else { return nil }
  }
  return (0..<k).map { squares[$0] >= limit }
}

/// The length of X = x - c up to which the codes that are not far have the `wanted` nearest among
/// them: |x - e| is at least |E| - |X| for those that are far, and at most |X| + |E| for as many
/// others.
func longestPoint(_ squares: UnsafePointer<Double>, _ isFar: [Bool], wanted: Int) -> Double {
  guard isFar.contains(true) else { return .infinity }
  let near = isFar.indices.filter { !isFar[$0] }.map { squares[$0] }.sorted()
  guard wanted <= near.count else { return 0 }
  let leastFar = isFar.indices.lazy.filter { isFar[$0] }.map { squares[$0] }.min()!
  return 0.49 * (leastFar.squareRoot() - near[wanted - 1].squareRoot())
}

/// `out` = `row` less `center`, scaled, elements below `least` taken for 0.
@inline(__always)
private func centerRow<Element: SearchElement>(
  _ row: UnsafePointer<Element>, _ center: UnsafePointer<Double>, scale: Double, least: Float,
  width d: Int, _ out: UnsafeMutablePointer<Float>
) {
  for i in 0..<d {
    let value = Float((Double(row[i]) - center[i]) * scale)
    out[i] = value.magnitude < least ? 0 : value
  }
}

/// `sum (x[i] - center[i])^2` in Float64, four partial sums.
@inline(__always)
private func squaredLength<Element: SearchElement>(
  _ x: UnsafePointer<Element>, less center: UnsafePointer<Double>, count: Int
) -> Double {
  var sums = SIMD4<Double>()
  var i = 0
  while i + 4 <= count {
    let difference = SIMD4(
      Double(x[i]) - center[i], Double(x[i + 1]) - center[i + 1], Double(x[i + 2]) - center[i + 2],
      Double(x[i + 3]) - center[i + 3])
    sums += difference * difference
    i += 4
  }
  var rest = 0.0
  while i < count {
    let difference = Double(x[i]) - center[i]
    rest += difference * difference
    i += 1
  }
  return (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
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
