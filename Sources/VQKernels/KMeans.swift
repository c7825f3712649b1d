/// Rows whose weights one partial sum of `PointWeights` covers.
private let weightChunk = 512

/// Squared distances of `n` points to the centres chosen so far: the weights of k-means++.
public final class PointWeights {
  private let n: Int
  private let d: Int
  private let x: UnsafePointer<Float>
  private let weights: UnsafeMutablePointer<Float>
  private var sums: [Double]

  /// `x` is [n, d] and must outlive this object.
  public init(_ x: UnsafePointer<Float>, count n: Int, width d: Int) {
    self.n = n
    self.d = d
    self.x = x
    weights = .allocate(capacity: max(n, 1))
    weights.initialize(repeating: .infinity, count: n)
    sums = [Double](repeating: 0, count: (n + weightChunk - 1) / weightChunk)
  }

  deinit { weights.deallocate() }

  /// Takes `center` among the centres.
  public func add(_ center: UnsafePointer<Float>) {
    let (x, weights, d) = (x, weights, d)
    sums.withUnsafeMutableBufferPointer { sums in
      parallelFor(n, grain: weightChunk) { range in
        var sum = 0.0
        for row in range {
          let point = x + row * d
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
          weights[row] = min(weights[row], square)
          sum += Double(weights[row])
        }
        sums[range.lowerBound / weightChunk] = sum
      }
    }
  }

  public var total: Double { sums.reduce(0, +) }

  /// The point at which the cumulative weight exceeds `target`, in `0..<total`; nil when every weight is 0.
  public func point(atCumulativeWeight target: Double) -> Int? {
    let total = self.total
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

/// The `count` rows of largest distance above 0, the lower row first on equality.
public func farthestRows(_ distances: UnsafePointer<Float>, rows: Int, count: Int) -> [Int] {
  let candidates = (0..<rows).filter { distances[$0] > 0 }
  let sorted = candidates.sorted {
    distances[$0] > distances[$1] || (distances[$0] == distances[$1] && $0 < $1)
  }
  return Array(sorted.prefix(count))
}

/// `sum x[i]` in Float64, by fixed chunks.
public func sumInDouble(_ x: UnsafePointer<Float>, count: Int) -> Double {
  var sums = [Double](repeating: 0, count: (count + elementGrain - 1) / elementGrain)
  sums.withUnsafeMutableBufferPointer { sums in
    parallelFor(count, grain: elementGrain) { range in
      var sum = 0.0
      for i in range { sum += Double(x[i]) }
      sums[range.lowerBound / elementGrain] = sum
    }
  }
  return sums.reduce(0, +)
}

/// The largest |x[i]|.
public func largestMagnitude(_ x: UnsafePointer<Float>, count: Int) -> Float {
  var largest = [Float](repeating: 0, count: (count + elementGrain - 1) / elementGrain)
  largest.withUnsafeMutableBufferPointer { largest in
    parallelFor(count, grain: elementGrain) { range in
      var most: Float = 0
      for i in range { most = max(most, x[i].magnitude) }
      largest[range.lowerBound / elementGrain] = most
    }
  }
  return largest.max() ?? 0
}

public func equalCodes(
  _ a: UnsafePointer<Int32>, _ b: UnsafePointer<Int32>, count: Int
) -> Bool {
  for i in 0..<count where a[i] != b[i] { return false }
  return true
}
