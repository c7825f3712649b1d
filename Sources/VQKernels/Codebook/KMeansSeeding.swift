/// Rows whose weights one partial sum covers.
private let weightChunk = 512

/// Draws the centers of k-means++: each a point with probability proportional to its squared
/// distance from the centers before it.
///
/// The weights lag behind: they know the centers up to the last renewal, and so are never too
/// small. A point drawn by them is taken with probability true weight / known weight, which leaves
/// the distribution of k-means++ (rejection sampling), and the weights of all points are renewed
/// once the centers have doubled, by one search for the nearest of the new ones. So n d k log k
/// additions become one n d k product.
public final class KMeansSeeding {
  private let n: Int
  private let d: Int
  private let x: UnsafePointer<Float>
  private let weights: UnsafeMutablePointer<Float>
  private let codes: UnsafeMutablePointer<Int32>
  private let centers: UnsafeMutablePointer<Float>  // [k, d]
  private var known = 0
  private var sums: [Double]
  private var total = 0.0
  /// Elements compared for points that were not taken, since the last renewal.
  private var wasted = 0
  /// The points taken as centers, in order.
  public private(set) var rows: [Int] = []
  public var count: Int { rows.count }

  /// `x` is [n, d] and must outlive this object, as must `centers` [k, d], which is written.
  public init(
    _ x: UnsafePointer<Float>, count n: Int, width d: Int, _ centers: UnsafeMutablePointer<Float>
  ) {
    self.n = n
    self.d = d
    self.x = x
    self.centers = centers
    weights = .allocate(capacity: n)
    codes = .allocate(capacity: n)
    weights.initialize(repeating: .infinity, count: n)
    sums = [Double](repeating: 0, count: (n + weightChunk - 1) / weightChunk)
  }

  deinit {
    weights.deallocate()
    codes.deallocate()
  }

  /// Takes the point `row` as a center.
  public func add(_ row: Int) {
    (centers + count * d).update(from: x + row * d, count: d)
    rows.append(row)
  }

  /// Takes the next center; false when every point is one already, or when loops are stopped.
  ///
  /// - Parameter uniform: the next draw from [0, 1).
  public func addNext(_ uniform: () -> Double) -> Bool {
    if count >= 2 * known { renew() }
    while total > 0 && !loopIsStopped() {
      guard let row = point(atCumulativeWeight: uniform() * total) else { return false }
      if known == count {
        add(row)
        return true
      }
      let square = min(
        weights[row], leastSquare(x + row * d, centers + known * d, count: count - known, width: d))
      if uniform() * Double(weights[row]) < Double(square) {
        add(row)
        return true
      }
      wasted += (count - known) * d
      if wasted > n * d { renew() }
    }
    return false
  }

  /// Makes the weights those of all centers.
  private func renew() {
    let new = count - known
    let start = UnsafePointer(centers + known * d)
    let isSearched = new > 4
    if isSearched {
      _ = nearestCode(x, count: n, start, PackedCodebook(start, codes: new, width: d), codes)
    }
    let (x, weights, codes, d, n) = (x, weights, codes, d, n)
    sums.withUnsafeMutableBufferPointer { sums in
      parallelFor(n, grain: weightChunk) { range in
        sums[range.lowerBound / weightChunk] = renewWeights(
          x, start, isSearched ? codes : nil, count: new, range, width: d, weights)
      }
    }
    total = sums.reduce(0, +)
    known = count
    wasted = 0
  }

  /// The point at which the cumulative weight exceeds `target`, in `0..<total`.
  private func point(atCumulativeWeight target: Double) -> Int? {
    var before = 0.0
    var last: Int?
    for (chunk, sum) in sums.enumerated() where sum > 0 {
      let next = before + sum
      if target < next || next >= total {
        var cumulative = before
        let first = chunk * weightChunk
        for row in first..<min(first + weightChunk, n) where weights[row] > 0 {
          last = row
          cumulative += Double(weights[row])
          if target < cumulative { return row }
        }
        if target < next { return last }
      }
      before = next
    }
    return last
  }
}

/// Lowers the weights of the rows in `range` to their squared distance from the nearest of `count`
/// centers, which `codes` names where it is given; returns the sum.
private func renewWeights(
  _ x: UnsafePointer<Float>, _ centers: UnsafePointer<Float>, _ codes: UnsafePointer<Int32>?,
  count: Int, _ range: Range<Int>, width d: Int, _ weights: UnsafeMutablePointer<Float>
) -> Double {
  var sum = 0.0
  for row in range {
    let square =
      codes.map { leastSquare(x + row * d, centers + Int($0[row]) * d, count: 1, width: d) }
      ?? leastSquare(x + row * d, centers, count: count, width: d)
    weights[row] = min(weights[row], square)
    sum += Double(weights[row])
  }
  return sum
}

/// The least squared distance of `point` from `count` centers, in float32: 0 for a center itself.
@inline(__always)
private func leastSquare(
  _ point: UnsafePointer<Float>, _ centers: UnsafePointer<Float>, count: Int, width d: Int
) -> Float {
  var least = Float.infinity
  for j in 0..<count {
    let center = centers + j * d
    var squares = SIMD16<Float>()
    var i = 0
    while i + 16 <= d {
      let difference = loadVector(point + i) - loadVector(center + i)
      squares += difference * difference
      i += 16
    }
    var square = squares.sum()
    while i < d {
      let difference = point[i] - center[i]
      square += difference * difference
      i += 1
    }
    least = min(least, square)
  }
  return least
}
