import CVQSwift
import VQMetrics
import VQQuantizers
import VQTensor

private func matrix(
  _ operation: String, _ elements: Doubles?, _ rows: Int64, _ columns: Int64
) throws -> Float64Matrix {
  let shape = [Int(rows), Int(columns)]
  guard rows >= 0, columns >= 0 else {
    throw VQError.shape(operation, [shape], "sizes must not be negative")
  }
  let (count, overflows) = rows.multipliedReportingOverflow(by: columns)
  guard !overflows, count < 1 << 43 else { throw VQError.overflow(operation, shape) }
  guard let elements else { throw VQError.misuse(operation, "a matrix is NULL") }
  return Float64Matrix(elements, rows: shape[0], columns: shape[1])
}

@_cdecl("vq_nearest_codes_f64") @implementation
public func vq_nearest_codes_f64(
  _ x: Doubles!, _ n: Int64, _ codebook: Doubles!, _ k: Int64, _ d: Int64, _ count: Int64,
  _ codes: UnsafeMutablePointer<Int32>!, _ distances: DoublesOut!
) -> vq_status {
  catching {
    let operation = "nearest_codes"
    try nearestCodes(
      matrix(operation, x, n, d), matrix(operation, codebook, k, d), count: Int(count),
      codes: target(codes), squaredDistances: distances)
  }
}

@_cdecl("vq_kmeans_f64") @implementation
public func vq_kmeans_f64(
  _ x: Doubles!, _ n: Int64, _ d: Int64, _ maxIterations: Int64, _ start: Text!,
  _ initial: Doubles!, _ seed: UInt64, _ centroids: DoublesOut!, _ k: Int64,
  _ codes: UnsafeMutablePointer<Int32>!, _ inertia: DoublesOut!,
  _ iterations: UnsafeMutablePointer<Int64>!
) -> vq_status {
  catching {
    let operation = "kmeans"
    let begin: Float64KMeansStart =
      switch initial {
      case let initial?: .centroids(try matrix(operation, initial, k, d))
      case nil: try isPlusPlus(start) ? .plusPlus : .random
      }
    let result = try kmeans(
      matrix(operation, x, n, d), k: Int(k), iterations: Int(maxIterations), initial: begin,
      seed: seed, centroids: target(centroids), codes: target(codes))
    inertia?.pointee = result.inertia
    iterations?.pointee = Int64(result.iterations)
  }
}

@_cdecl("vq_frechet_distance") @implementation
public func vq_frechet_distance(
  _ a: Doubles!, _ n: Int64, _ b: Doubles!, _ m: Int64, _ d: Int64, _ out: DoublesOut!
) -> vq_status {
  catching {
    let operation = "frechet_distance"
    try target(out).pointee = frechetDistance(
      matrix(operation, a, n, d), matrix(operation, b, m, d))
  }
}
