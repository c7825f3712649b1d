import CVQSwift
import VQQuantizers
import VQTensor

@_cdecl("vq_nearest_codes") @implementation
public func vq_nearest_codes(
  _ x: Handle!, _ codebook: Handle!, _ count: Int64, _ codes: Out!, _ distances: Out!
) -> vq_status {
  for out in [codes, distances] { out?.pointee = nil }
  return catching {
    let (x, codebook, codes) = (try tensor(x), try tensor(codebook), try target(codes))
    guard count != 0 || distances != nil else {
      codes.pointee = handle(try VQQuantizers.codes(nearestTo: x, in: codebook))
      return
    }
    let found =
      count == 0
      ? try nearestCodes(x, codebook) : try nearestCodes(x, codebook, count: Int(count))
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
  for out in [centroids, codes] { out?.pointee = nil }
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
