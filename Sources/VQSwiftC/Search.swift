import CVQSwift
import VQQuantizers
import VQTensor

@_cdecl("vq_nearest_codes") @implementation
public func vq_nearest_codes(
  _ x: Handle!, _ codebook: Handle!, _ codes: Out!, _ distances: Out!
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
  _ x: Handle!, _ codebook: Handle!, _ count: Int64, _ codes: Out!, _ distances: Out!
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
  _ x: Handle!, _ k: Int64, _ maxIterations: Int64, _ start: Text!, _ initial: Handle!,
  _ seed: UInt64, _ centroids: Out!, _ codes: Out!, _ inertia: DoublesOut!,
  _ iterations: UnsafeMutablePointer<Int64>!
) -> vq_status {
  centroids?.pointee = nil
  codes?.pointee = nil
  return catching {
    let (centroids, codes) = (try target(centroids), try target(codes))
    let begin: KMeansStart =
      switch try optionalTensor(initial) {
      case let initial?: .centroids(initial)
      case nil: try isPlusPlus(start) ? .plusPlus : .random
      }
    let result = try kmeans(
      tensor(x), k: Int(k), iterations: Int(maxIterations), initial: begin, seed: seed)
    centroids.pointee = handle(result.centroids)
    codes.pointee = handle(result.codes)
    inertia?.pointee = result.inertia
    iterations?.pointee = Int64(result.iterations)
  }
}

/// Whether a start by name is k-means++.
func isPlusPlus(_ start: Text?) throws -> Bool {
  switch try string(start) {
  case "kmeans++": return true
  case "random": return false
  case let other:
    throw VQError.value("kmeans", "init", "'\(other)'", "it must be 'kmeans++' or 'random'")
  }
}
