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
  var step = 0
  var previous: Tensor?
  while true {
    let distances = try Tensor(operation, shape: [n]) { _ in }
    let codes = try assign(
      x, centroids, operation: operation, names: ("x", "centroids"), distances)
    let isSettled = previous.map { previous in
      codes.readCodes { new in previous.readCodes { equalCodes(new, $0, count: n) } }
    }
    if step == iterations || isSettled == true {
      return KMeansResult(
        centroids: centroids, codes: codes,
        inertia: distances.read { sumInDouble($0, count: n) }, iterations: step)
    }
    let empty = codes.readCodes { codeUsage($0, rows: n, codeCount: k) }.counts.indices(of: 0)
    centroids.mutate { target in
      x.read { points in
        codes.readCodes { codes in
          meanByCode(points, CodeGroups(codes, rows: n, codeCount: k), width: d, target)
        }
        if empty.isEmpty { return }
        let far = distances.read { farthestRows($0, rows: n, count: empty.count) }
        for (code, row) in zip(empty, far) { copyRow(points, row, target, code, width: d) }
      }
    }
    previous = codes
    step += 1
  }
}

private func plusPlusCentroids(_ x: Tensor, _ k: Int, _ generator: Generator) throws -> Tensor {
  let (n, d) = (x.shape[0], x.shape[1])
  let centroids = try Tensor.zeros([k, d])
  var chosen = 0
  x.read { points in
    let weights = PointWeights(points, count: n, width: d)
    var next: Int? = generator.nextIndex(below: n)
    while let row = next {
      centroids.mutate { copyRow(points, row, $0, chosen, width: d) }
      chosen += 1
      if chosen == k { return }
      weights.add(points + row * d)
      next = weights.point(atCumulativeWeight: generator.nextUniform() * weights.total)
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
  /// Throws unless every element is finite.
  func requireFinite(_ operation: String, _ name: String) throws {
    if let index = read({ firstNonFiniteElement($0, count: count) }) {
      throw VQError.nonFinite(operation, name, value: read { $0[index] }, index: index)
    }
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
