/// A codebook less its mean in Float64, in tiles of codes, for the scores `|E|^2/2 - X.E` of points
/// to which float32 gives no code.
///
/// Codes 2^16 times as long as the longest that `CenteredCodebook` does not leave out are left out
/// here too.
final class Float64Codebook {
  /// Codes in any number of tiles that are scored at once.
  static let step = 16

  let d: Int
  /// Codes, and those behind the last that have infinite scores; a multiple of `step`.
  let width: Int
  private let center: [Double]
  private let tiles: UnsafeMutablePointer<Double>  // [width / tile, d, tile]
  private let starts: UnsafeMutablePointer<Double>  // [width]
  private let longest: Double
  private let longestPoint: Double
  private let kernels: TileKernels

  /// - Parameter distinct: the rows of `source` to take, [width].
  init<Element: SearchElement>(
    _ source: UnsafePointer<Element>, _ distinct: [Int32], _ centered: CenteredCodebook,
    wanted: Int, _ kernels: TileKernels
  ) {
    let (d, tile, count) = (centered.d, kernels.float64TileCodes, distinct.count)
    let width = (count + Self.step - 1) / Self.step * Self.step
    let center = (0..<d).map { centered.center[$0] }
    let tiles = UnsafeMutablePointer<Double>.allocate(capacity: width * d)
    let starts = UnsafeMutablePointer<Double>.allocate(capacity: width)
    tiles.initialize(repeating: 0, count: width * d)
    starts.initialize(repeating: .infinity, count: width)
    func column(_ place: Int) -> UnsafeMutablePointer<Double> {
      tiles + place / tile * d * tile + place % tile
    }
    parallelFor(count, grain: max(1, elementGrain / d)) { range in
      for place in range {
        let row = source + Int(distinct[place]) * d
        let column = column(place)
        var sum = 0.0
        for i in 0..<d {
          let value = Double(row[i]) - center[i]
          column[i * tile] = value
          sum += value * value
        }
        starts[place] = sum / 2
      }
    }
    let near = centered.maximumNorm / centered.scale
    let limit = 0x1p32 * near * near / 2
    let isFar = (0..<count).map { starts[$0] > limit }
    longestPoint = 2.0.squareRoot() * VQKernels.longestPoint(starts, isFar, wanted: wanted)
    var largest = 0.0
    for place in 0..<count {
      guard isFar[place] else {
        largest = max(largest, starts[place])
        continue
      }
      starts[place] = .infinity
      let column = column(place)
      for i in 0..<d { column[i * tile] = 0 }
    }
    longest = (2 * largest).squareRoot()
    (self.d, self.width, self.center, self.kernels) = (d, width, center, kernels)
    (self.tiles, self.starts) = (tiles, starts)
  }

  deinit {
    tiles.deallocate()
    starts.deallocate()
  }

  /// Writes the center less `points` [count, d] to `out` and the margin of each one's scores to
  /// `margins`: how far those of two codes can stand in another order than the sums of the
  /// definition; +inf where a product could overflow, or underflow.
  ///
  /// In units of u = 2^-53, with X = x - c, E = e - c and M >= |E|: d products and half the norm,
  /// itself a sum of d, are within (d + 3)(|X| M + M^2); the rounding of X and of E changes them by
  /// 2 |X| M + M^2; half the definition's sum is within (d + 2)(|X| + M)^2 / 2. 1.1 covers the
  /// second order and the length of X.
  func center(
    _ points: UnsafePointer<Double>, count: Int, _ out: UnsafeMutablePointer<Double>,
    _ margins: UnsafeMutablePointer<Double>
  ) {
    for r in 0..<count {
      let (point, target) = (points + r * d, out + r * d)
      var sum = 0.0
      for i in 0..<d {
        target[i] = center[i] - point[i]
        sum += target[i] * target[i]
      }
      let norm = sum.squareRoot()
      let reach = norm + longest
      let bound = Double(d + 6) * 0x1p-53 * (norm * longest + longest * longest + reach * reach / 2)
      let isSafe = reach < 0x1p500 && bound > 0x1p-900 && norm < longestPoint && d < 1 << 40
      margins[r] = isSafe ? 2.2 * bound : .infinity
    }
  }

  /// The scores of four points that `center` wrote to the codes from `first` on, `out` [4, stride];
  /// lowers `least` [4] to the least of them. `first` and `count` are multiples of `step`.
  func score(
    _ points: UnsafePointer<Double>, first: Int, count: Int, _ out: UnsafeMutablePointer<Double>,
    stride: Int, _ least: UnsafeMutablePointer<Double>
  ) {
    kernels.float64Scores(
      points, tiles + first * d, starts + first, d, count / kernels.float64TileCodes, out, stride,
      least)
  }
}
