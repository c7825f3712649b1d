import CVQSwift
import VQQuantizers
import VQTensor

@_cdecl("vq_nearest_codes") @implementation
public func vq_nearest_codes(
  _ x: OpaquePointer!, _ codebook: OpaquePointer!, _ codes: UnsafeMutablePointer<OpaquePointer?>!,
  _ distances: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  codes?.pointee = nil
  distances?.pointee = nil
  return catching {
    let codes = try target(codes)
    guard let distances else {
      codes.pointee = handle(try VQQuantizers.codes(nearestTo: tensor(x), in: tensor(codebook)))
      return
    }
    let found = try nearestCodes(tensor(x), tensor(codebook))
    codes.pointee = handle(found.codes)
    distances.pointee = handle(found.squaredDistances)
  }
}

@_cdecl("vq_nearest_codes_ranked") @implementation
public func vq_nearest_codes_ranked(
  _ x: OpaquePointer!, _ codebook: OpaquePointer!, _ count: Int64,
  _ codes: UnsafeMutablePointer<OpaquePointer?>!, _ distances: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  codes?.pointee = nil
  distances?.pointee = nil
  return catching {
    let codes = try target(codes)
    let found = try nearestCodes(tensor(x), tensor(codebook), count: Int(count))
    codes.pointee = handle(found.codes)
    distances?.pointee = handle(found.squaredDistances)
  }
}

@_cdecl("vq_kmeans") @implementation
public func vq_kmeans(
  _ x: OpaquePointer!, _ k: Int64, _ maxIterations: Int64, _ start: Int32,
  _ initial: OpaquePointer!, _ seed: UInt64, _ centroids: UnsafeMutablePointer<OpaquePointer?>!,
  _ codes: UnsafeMutablePointer<OpaquePointer?>!, _ inertia: UnsafeMutablePointer<Double>!,
  _ iterations: UnsafeMutablePointer<Int64>!
) -> vq_status {
  centroids?.pointee = nil
  codes?.pointee = nil
  return catching {
    let (centroids, codes) = (try target(centroids), try target(codes))
    let begin: KMeansStart
    switch Int(start) {
    case Int(VQ_KMEANS_PLUS_PLUS): begin = .plusPlus
    case Int(VQ_KMEANS_RANDOM): begin = .random
    case Int(VQ_KMEANS_GIVEN): begin = .centroids(try tensor(initial))
    default: throw VQError.value("kmeans", "init", "\(start)", "it must be a VQ_KMEANS_*")
    }
    let result = try kmeans(
      tensor(x), k: Int(k), iterations: Int(maxIterations), initial: begin, seed: seed)
    centroids.pointee = handle(result.centroids)
    codes.pointee = handle(result.codes)
    inertia?.pointee = result.inertia
    iterations?.pointee = Int64(result.iterations)
  }
}
