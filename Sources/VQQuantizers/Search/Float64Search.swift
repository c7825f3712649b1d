import VQKernels
import VQTensor

/// A Float64 matrix in the caller's memory.
public struct Float64Matrix {
  public let elements: UnsafePointer<Double>
  public let rows: Int
  public let columns: Int

  public init(_ elements: UnsafePointer<Double>, rows: Int, columns: Int) {
    (self.elements, self.rows, self.columns) = (elements, rows, columns)
  }

  var shape: [Int] { [rows, columns] }
  private var count: Int { rows * columns }

  package func requireFinite(_ operation: String, _ name: String) throws {
    var bad: Int?
    try interruptible(operation) { bad = firstNonFiniteElement(elements, count: count) }
    if let bad { throw nonFinite(operation, name, bad) }
  }

  func nonFinite(_ operation: String, _ name: String, _ index: Int) -> VQError {
    .nonFinite(operation, name, value: Float(elements[index]), index: index)
  }
}

/// The `wanted` codes nearest to each row of `x` [n, d], by the definition of `nearestCodes` in
/// Float64 inputs: codes, and squared distances unless NULL, [n, wanted].
public func nearestCodes(
  _ x: Float64Matrix, _ codebook: Float64Matrix, count wanted: Int,
  codes: UnsafeMutablePointer<Int32>, squaredDistances: UnsafeMutablePointer<Double>?
) throws {
  let operation = "nearest_codes"
  let underflow = GradualUnderflow()
  defer { underflow.end() }
  let (n, d, k) = (x.rows, x.columns, codebook.rows)
  try requireMatrices(operation, x.shape, codebook.shape)
  try requireSearch(operation, x.shape, count: wanted, of: k)
  try prepareProducts(
    beside: 2 * searchBytes(rows: n, codes: k, width: d) + 8 * n * wanted + threadCount * 64 * k)
  var bad: NonFiniteInput?
  try interruptible(operation) {
    if wanted > 1 {
      let scratch = squaredDistances ?? .allocate(capacity: n * wanted)
      defer { if squaredDistances == nil { scratch.deallocate() } }
      bad = rankedCodes(
        x.elements, count: n, codebook.elements, codes: k, width: d, wanted: wanted, codes,
        squaredDistances: scratch)
      return
    }
    if areFew(n, width: d) {
      bad = nearestOfFew(x.elements, count: n, codebook.elements, codes: k, width: d, codes)
    } else {
      let packed = PackedCodebook(codebook.elements, codes: k, width: d)
      bad = nearestCode(x.elements, count: n, codebook.elements, packed, codes)
    }
    if bad == nil, let squaredDistances, !loopIsStopped() {
      squaredDistancesToCodes(
        x.elements, count: n, codebook.elements, width: d, codes, squaredDistances)
    }
  }
  switch bad {
  case .point(let index): throw x.nonFinite(operation, "x", index)
  case .code(let index): throw codebook.nonFinite(operation, "codebook", index)
  case nil: break
  }
}

/// Where k-means of Float64 points begins.
public enum Float64KMeansStart {
  case plusPlus
  case random
  case centroids(Float64Matrix)
}

/// `kmeans` of Float64 points `x` [n, d]: distances, means and inertia in Float64.
///
/// k-means++ draws its points by float32 distances from the mean.
///
/// - Parameters:
///   - centroids: out, [k, d].
///   - codes: out, [n].
public func kmeans(
  _ x: Float64Matrix, k: Int, iterations: Int, initial: Float64KMeansStart, seed: UInt64,
  centroids: UnsafeMutablePointer<Double>, codes: UnsafeMutablePointer<Int32>
) throws -> (inertia: Double, iterations: Int) {
  let operation = "kmeans"
  let underflow = GradualUnderflow()
  defer { underflow.end() }
  let (n, d) = (x.rows, x.columns)
  try requireClusters(operation, [n, d], k: k, iterations: iterations)
  try requireMemory(bytes: 2 * lloydBytes(rows: n, codes: k, width: d))
  try x.requireFinite(operation, "x")
  switch initial {
  case .centroids(let start):
    guard start.rows == k, start.columns == d else {
      throw VQError.shape(
        operation, [[start.rows, start.columns], [k, d]], "initial centroids must be [k, d]")
    }
    try start.requireFinite(operation, "init")
    centroids.update(from: start.elements, count: k * d)
  case .plusPlus, .random:
    let generator = Generator(seed: seed)
    let points = try FloatArrangement(x, operation)
    let start: StartingPoints
    if case .random = initial {
      start = try StartingPoints(random: points.tensor, k, generator)
    } else {
      start = try StartingPoints(plusPlus: points.tensor, k, generator, operation)
    }
    for code in 0..<k {
      let target = centroids + code * d
      if code < start.rows.count {
        target.update(from: x.elements + start.rows[code] * d, count: d)
      } else {
        points.restore(start.centroids, row: code, target)
      }
    }
  }
  var result = (inertia: 0.0, iterations: 0)
  try interruptible(operation) {
    result = lloyd(
      x.elements, count: n, width: d, centroids, codes: k, iterations: iterations, codes)
  }
  return result
}

/// Float64 points as float32 ones: `(x - mean) scale`.
private struct FloatArrangement {
  let tensor: Tensor
  private let mean: [Double]
  private let scale: Double

  init(_ x: Float64Matrix, _ operation: String) throws {
    let (n, d) = (x.rows, x.columns)
    let (mean, largest) = meanAndReach(x.elements, rows: n, width: d)
    let scale =
      largest > 0 ? Double(sign: .plus, exponent: -largest.exponent, significand: 1) : 1
    tensor = try Tensor(operation, shape: [n, d]) {
      mean.withUnsafeBufferPointer { [out = $0] mean in
        standardize(x.elements, rows: n, width: d, mean: mean.baseAddress!, scale: scale, out)
      }
    }
    (self.mean, self.scale) = (mean, scale)
  }

  /// Row `row` of `values`, which has the arrangement, as the points were.
  func restore(_ values: Tensor, row: Int, _ out: UnsafeMutablePointer<Double>) {
    values.read { values in
      for i in 0..<mean.count {
        out[i] = Double(values[row * mean.count + i]) / scale + mean[i]
      }
    }
  }
}
