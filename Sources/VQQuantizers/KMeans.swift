import VQKernels
import VQTensor

/// Where k-means begins.
public enum KMeansStart {
  /// k-means++: each centre a point drawn with probability proportional to its squared distance from the
  /// centres before it.
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

/// Clusters the rows of `x` [n, d] by Lloyd's algorithm until no code changes, for at most `iterations`.
///
/// `k` is kept when there are fewer distinct points: the rest are points moved by noise of 1% of their
/// length. A cluster that empties takes the point farthest from its centroid, so that the inertia never
/// rises. Codes and inertia are those of the final centroids. The result is the same for every thread count.
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
  guard x.count > 0 else {
    throw VQError.empty(
      operation, x.shape, "at least one point of at least one element is required")
  }
  guard k >= 1, k <= Int(Int32.max) else {
    throw VQError.value(operation, "k", "\(k)", "must be at least 1 and fit in int32")
  }
  guard iterations >= 0 else {
    throw VQError.value(operation, "iterations", "\(iterations)", "must be at least 0")
  }
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
    case .plusPlus: centroids = try plusPlusCentroids(points, k, generator)
    case .random: centroids = try randomCentroids(points, k, generator)
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
  // Sums of at most 16 groups, and the farthest rows in order.
  try requireMemory(bytes: searchBytes(rows: n, codes: k, width: d) + 144 * k * d + 16 * n)
  let sums = iterations > 0 ? ClusterSums(rows: n, codes: k, width: d) : nil
  var step = 0
  var previous: Tensor?
  while step < iterations {
    let before = try centroids * Float(1)
    let (codes, counts) = try assignAndMove(x, centroids, sums, operation)
    if let previous, codes.hasCodes(of: previous) {
      return try result(x, before, codes, step, operation)
    }
    let empty = counts.indices(of: 0)
    if !empty.isEmpty {
      let distances = try squaredDistances(x, to: before, codes: codes, operation: operation)
      let far = distances.read { farthestRows($0, rows: n, count: empty.count) }
      x.read { points in
        centroids.mutate { target in
          for (code, row) in zip(empty, far) { copyRow(points, row, target, code, width: d) }
        }
      }
    }
    previous = codes
    step += 1
  }
  let codes = try assign(x, centroids, operation: operation, names: ("x", "centroids"))
  return try result(x, centroids, codes, step, operation)
}

private func result(
  _ x: Tensor, _ centroids: Tensor, _ codes: Tensor, _ iterations: Int, _ operation: String
) throws -> KMeansResult {
  let distances = try squaredDistances(x, to: centroids, codes: codes, operation: operation)
  return KMeansResult(
    centroids: centroids, codes: codes,
    inertia: distances.read { sumInDouble($0, count: x.shape[0]) }, iterations: iterations)
}

/// The codes of `x`, and the number of points of each; moves the centroids that have any to their means.
private func assignAndMove(
  _ x: Tensor, _ centroids: Tensor, _ sums: ClusterSums?, _ operation: String
) throws -> (codes: Tensor, counts: [Int32]) {
  let (n, d, k) = (x.shape[0], x.shape[1], centroids.shape[0])
  if let sums {
    var counts: [Int32] = []
    let packed = packed(centroids)
    let codes = try Tensor(operation, codeShape: [n]) { codes in
      x.read { points in
        centroids.mutate { counts = sums.moveToMeans(points, $0, packed, codes) }
      }
    }
    return (codes, counts)
  }
  let codes = try assign(x, centroids, operation: operation, names: ("x", "centroids"))
  let counts = codes.readCodes { codeUsage($0, rows: n, codeCount: k) }.counts
  x.read { points in
    codes.readCodes { codes in
      let groups = CodeGroups(codes, rows: n, codeCount: k)
      centroids.mutate { meanByCode(points, groups, width: d, $0) }
    }
  }
  return (codes, counts)
}

private func plusPlusCentroids(_ x: Tensor, _ k: Int, _ generator: Generator) throws -> Tensor {
  let (n, d) = (x.shape[0], x.shape[1])
  try requireMemory(bytes: searchBytes(rows: n, codes: k, width: d) + 8 * n)
  let centroids = try Tensor.zeros([k, d])
  var chosen = 0
  x.read { points in
    centroids.mutate { target in
      let seeding = KMeansSeeding(points, count: n, width: d, target)
      seeding.add(generator.nextIndex(below: n))
      while seeding.count < k, seeding.addNext(generator.nextUniform) {}
      chosen = seeding.count
    }
  }
  try fillWithNoisyPoints(x, centroids, from: chosen, generator)
  return centroids
}

private func randomCentroids(_ x: Tensor, _ k: Int, _ generator: Generator) throws -> Tensor {
  let (n, d) = (x.shape[0], x.shape[1])
  let centroids = try Tensor.zeros([k, d])
  let order = try generator.permutation(n)
  order.readCodes { order in
    x.read { points in
      centroids.mutate { target in
        for code in 0..<min(k, n) { copyRow(points, Int(order[code]), target, code, width: d) }
      }
    }
  }
  try fillWithNoisyPoints(x, centroids, from: min(k, n), generator)
  return centroids
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
  let (n, d) = (x.shape[0], x.shape[1])
  let picks = try generator.integers([count], below: n)
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

extension Tensor {
  /// Whether two int32 tensors of one shape hold the same.
  fileprivate func hasCodes(of other: Tensor) -> Bool {
    readCodes { own in other.readCodes { equalCodes(own, $0, count: count) } }
  }
}

extension Array where Element == Int32 {
  func indices(of value: Int32) -> [Int] { indices.filter { self[$0] == value } }
}

extension Float {
  /// The exponent of a nonzero finite value; 0 for 0.
  var exponentOrZero: Int { self == 0 ? 0 : Int(exponent) }

  static func powerOfTwo(_ exponent: Int) -> Float {
    Float(sign: .plus, exponent: exponent, significand: 1)
  }
}
