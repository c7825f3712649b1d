import VQKernels
import VQTensor

/// Where k-means begins.
public enum KMeansStart {
  /// k-means++: each center a point drawn with probability proportional to its squared distance
  /// from the centers before it.
  case plusPlus
  /// Distinct points drawn uniformly.
  case random
  /// Given centroids [k, d].
  case centroids(Tensor)
}

/// A clustering of n points in k clusters.
public struct KMeansResult {
  /// float32 [k, d].
  public let centroids: Tensor
  /// The nearest centroid of each point, int32 [n].
  public let codes: Tensor
  /// The sum of squared distances of the points to their centroids.
  public let inertia: Double
  /// Lloyd updates made.
  public let iterations: Int
}

/// Clusters the rows of `x` [n, d] by Lloyd's algorithm until no code changes, for at most
/// `iterations`.
///
/// `k` is kept when there are fewer distinct points: the rest are points moved by noise of 1% of
/// their length. A cluster that empties takes the point farthest from its centroid, so that the
/// inertia never rises and, `iterations` being at least 1, none is empty while a point lies off its
/// centroid. Codes and inertia are those of the final centroids. The result is the same for every
/// thread count.
public func kmeans(
  _ x: Tensor, k: Int, iterations: Int = 25, initial: KMeansStart = .plusPlus, seed: UInt64 = 0
) throws -> KMeansResult {
  try kmeans(
    x, k: k, iterations: iterations, initial: initial, generator: Generator(seed: seed),
    operation: "kmeans", name: "x")
}

func kmeans(
  _ x: Tensor, k: Int, iterations: Int, initial: KMeansStart, generator: Generator,
  operation: String, name: String
) throws -> KMeansResult {
  let underflow = GradualUnderflow()
  defer { underflow.end() }
  try x.requireFloat(operation)
  guard x.rank == 2 else { throw VQError.shape(operation, [x.shape], "x [n, d] is required") }
  try requireClusters(operation, x.shape, k: k, iterations: iterations)
  try x.requireFinite(operation, name)
  var largest = x.read { largestMagnitude($0, count: x.count) }
  if case .centroids(let start) = initial {
    try start.requireFloat(operation)
    guard start.shape == [k, x.shape[1]] else {
      throw VQError.shape(
        operation, [start.shape, [k, x.shape[1]]], "initial centroids must be [k, d]")
    }
    try start.requireFinite(operation, "init")
    largest = max(largest, start.read { largestMagnitude($0, count: start.count) })
  }
  return try withoutGradients {
    // A power of two, exact, keeps squared distances within float32.
    let exponent =
      largest > 0x1p40 || largest < 0x1p-30 ? max(Int(largest.exponentOrZero), -120) : 0
    let points = exponent == 0 ? x.detached() : try x * Float.powerOfTwo(-exponent)
    let centroids: Tensor
    switch initial {
    case .plusPlus:
      centroids = try StartingPoints(plusPlus: points, k, generator, operation).centroids
    case .random: centroids = try StartingPoints(random: points, k, generator).centroids
    case .centroids(let start): centroids = try start * Float.powerOfTwo(-exponent)
    }
    let result = try lloyd(points, centroids, iterations: iterations, operation)
    if exponent == 0 { return result }
    let scale = Double(Float.powerOfTwo(exponent))
    return KMeansResult(
      centroids: try result.centroids * Float.powerOfTwo(exponent), codes: result.codes,
      inertia: result.inertia * scale * scale, iterations: result.iterations)
  }
}

/// Moves `centroids` in place.
private func lloyd(
  _ x: Tensor, _ centroids: Tensor, iterations: Int, _ operation: String
) throws -> KMeansResult {
  let (n, d, k) = (x.shape[0], x.shape[1], centroids.shape[0])
  try requireMemory(bytes: lloydBytes(rows: n, codes: k, width: d))
  var (inertia, steps) = (0.0, 0)
  let codes = try Tensor(operation, codeShape: [n]) { codes in
    try x.read { points in
      try centroids.mutate { target in
        try interruptible(operation) {
          (inertia, steps) = VQKernels.lloyd(
            points, count: n, width: d, target, codes: k, iterations: iterations, codes)
        }
      }
    }
  }
  return KMeansResult(centroids: centroids, codes: codes, inertia: inertia, iterations: steps)
}

/// What Lloyd's algorithm takes at most: a search, sums of at most 16 groups, the centroids and
/// codes of the step before and the distances of the points.
func lloydBytes(rows n: Int, codes k: Int, width d: Int) -> Int {
  searchBytes(rows: n, codes: k, width: d) + 144 * k * d + 24 * n
}

/// Throws unless points of `shape` [n, d] can be clustered so.
func requireClusters(_ operation: String, _ shape: [Int], k: Int, iterations: Int) throws {
  guard shape[0] > 0, shape[1] > 0 else {
    throw VQError.empty(
      operation, shape, "at least one point of at least one element is required")
  }
  guard k >= 1, k <= Int(Int32.max) else {
    throw VQError.value(operation, "k", "\(k)", "must be at least 1 and fit in int32")
  }
  guard iterations >= 0 else {
    throw VQError.value(operation, "iterations", "\(iterations)", "must be at least 0")
  }
}

/// Points of `x` [n, d] as the first centroids [k, d].
struct StartingPoints {
  let centroids: Tensor
  /// The points taken; the centroids behind them are points moved by noise.
  let rows: [Int]

  /// Points drawn as k-means++ does.
  init(plusPlus x: Tensor, _ k: Int, _ generator: Generator, _ operation: String) throws {
    let (n, d) = (x.shape[0], x.shape[1])
    try requireMemory(bytes: searchBytes(rows: n, codes: k, width: d) + 8 * n)
    let centroids = try Tensor.zeros([k, d])
    var rows: [Int] = []
    try x.read { points in
      try centroids.mutate { target in
        try interruptible(operation) {
          let seeding = KMeansSeeding(points, count: n, width: d, target)
          seeding.add(generator.nextIndex(below: n))
          while seeding.count < k, seeding.addNext(generator.nextUniform) {}
          rows = seeding.rows
        }
      }
    }
    try fillWithNoisyPoints(x, centroids, from: rows.count, generator)
    (self.centroids, self.rows) = (centroids, rows)
  }

  /// Distinct points drawn uniformly.
  init(random x: Tensor, _ k: Int, _ generator: Generator) throws {
    let (n, d) = (x.shape[0], x.shape[1])
    let centroids = try Tensor.zeros([k, d])
    let rows = try generator.permutation(n).readCodes { order in
      (0..<min(k, n)).map { Int(order[$0]) }
    }
    x.read { points in
      centroids.mutate { target in
        for (code, row) in rows.enumerated() { copyRow(points, row, target, code, width: d) }
      }
    }
    try fillWithNoisyPoints(x, centroids, from: rows.count, generator)
    (self.centroids, self.rows) = (centroids, rows)
  }
}

private func fillWithNoisyPoints(
  _ x: Tensor, _ centroids: Tensor, from first: Int, _ generator: Generator
) throws {
  let rows = Array(first..<centroids.shape[0])
  if rows.isEmpty { return }
  let values = try noisyPoints(x, count: rows.count, generator)
  values.read { values in
    centroids.mutate { target in
      for (index, row) in rows.enumerated() {
        copyRow(values, index, target, row, width: x.shape[1])
      }
    }
  }
}

/// Random rows of `x` [n, d], each moved by noise of 1% of its length: [count, d].
func noisyPoints(_ x: Tensor, count: Int, _ generator: Generator) throws -> Tensor {
  let n = x.shape[0]
  let picks = try generator.integers([count], below: n)
  return try noisyPoints(x, picks: picks, generator)
}

/// The rows `picks`, int32 [count], of `x` [n, d], each moved by such noise: [count, d].
func noisyPoints(_ x: Tensor, picks: Tensor, _ generator: Generator) throws -> Tensor {
  let (count, d) = (picks.count, x.shape[1])
  let noise = try generator.normal([count, d])
  return try Tensor("noisy_points", shape: [count, d]) { target in
    x.read { points in
      picks.readCodes { picks in
        noise.read { noise in
          noisyRows(points, picks: picks, noise: noise, count: count, width: d, target)
        }
      }
    }
  }
}

extension Float {
  /// The exponent of a nonzero finite value; 0 for 0.
  var exponentOrZero: Int { self == 0 ? 0 : Int(exponent) }

  static func powerOfTwo(_ exponent: Int) -> Float {
    Float(sign: .plus, exponent: exponent, significand: 1)
  }
}
