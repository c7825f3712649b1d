import CVQSwift
import VQQuantizers
import VQTensor

private func matrix(
  _ operation: String, _ elements: UnsafePointer<Double>?, _ rows: Int64, _ columns: Int64
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
  _ x: UnsafePointer<Double>!, _ n: Int64, _ codebook: UnsafePointer<Double>!, _ k: Int64,
  _ d: Int64, _ count: Int64, _ codes: UnsafeMutablePointer<Int32>!,
  _ distances: UnsafeMutablePointer<Double>!
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
  _ x: UnsafePointer<Double>!, _ n: Int64, _ d: Int64, _ k: Int64, _ maxIterations: Int64,
  _ start: Int32, _ initial: UnsafePointer<Double>!, _ seed: UInt64,
  _ centroids: UnsafeMutablePointer<Double>!, _ codes: UnsafeMutablePointer<Int32>!,
  _ inertia: UnsafeMutablePointer<Double>!, _ iterations: UnsafeMutablePointer<Int64>!
) -> vq_status {
  catching {
    let operation = "kmeans"
    let begin: Float64KMeansStart
    switch Int(start) {
    case Int(VQ_KMEANS_PLUS_PLUS): begin = .plusPlus
    case Int(VQ_KMEANS_RANDOM): begin = .random
    case Int(VQ_KMEANS_GIVEN): begin = .centroids(try matrix(operation, initial, k, d))
    default: throw VQError.value(operation, "init", "\(start)", "it must be a VQ_KMEANS_*")
    }
    let result = try kmeans(
      matrix(operation, x, n, d), k: Int(k), iterations: Int(maxIterations), initial: begin,
      seed: seed, centroids: target(centroids), codes: target(codes))
    inertia?.pointee = result.inertia
    iterations?.pointee = Int64(result.iterations)
  }
}
