import CPlatform

/// Decides before each step of k-means whether bounds find its codes faster than a search among all
/// centroids does, by a sample of the points that keeps bounds from the first step on.
final class BoundedSteps {
  private static let sampled = 2048
  private static let leastPoints = 16 * sampled
  private static let (leastCodes, leastWidth) = (128, 8)

  private let x: UnsafePointer<Float>
  private let n: Int
  private let d: Int
  private let k: Int
  private let rows: UnsafeMutablePointer<Float>  // [sampled, d]
  private let codes: UnsafeMutablePointer<Int32>  // [sampled]
  private var sample: BoundedSearch?
  private var all: BoundedSearch?
  /// Whether the bounds of all points are being made, for which every group is scanned.
  private var isFirst = false

  /// nil where steps are too few or too small to gain.
  init?(_ x: UnsafePointer<Float>, count n: Int, width d: Int, codes k: Int, iterations: Int) {
    guard
      n >= Self.leastPoints, k >= Self.leastCodes, d >= Self.leastWidth, iterations >= 4
    else { return nil }
    (self.x, self.n, self.d, self.k) = (x, n, d, k)
    rows = .allocate(capacity: Self.sampled * d)
    codes = .allocate(capacity: Self.sampled)
    for i in 0..<Self.sampled {
      (rows + i * d).update(from: x + i * (n / Self.sampled) * d, count: d)
    }
  }

  deinit {
    rows.deallocate()
    codes.deallocate()
  }

  /// Takes the centroids [k, d] that a step searches among, and where they have moved from; `left`
  /// steps follow. What searches by bounds, or nil where a search among all is to.
  func take(
    _ centroids: UnsafePointer<Float>, movedFrom before: UnsafePointer<Float>?, left: Int
  ) -> BoundedSearch? {
    if let all {
      let pays = isFirst || cost(all.share) < 1
      isFirst = false
      if pays, all.take(centroids, movedFrom: before) { return all }
      forget()
    }
    guard let sample else {
      let made = BoundedSearch(rows, count: Self.sampled, width: d, centroids, codes: k)
      guard let made, made.take(centroids, movedFrom: nil) else { return nil }
      codes.update(repeating: 0, count: Self.sampled)
      if search(made, centroids) { sample = made }
      return nil
    }
    guard sample.take(centroids, movedFrom: before), search(sample, centroids) else {
      forget()
      return nil
    }
    let saved = (1 - cost(sample.share)) * Double(left) - (cost(1) - 1)
    guard saved > 0.2 else { return nil }
    let made = BoundedSearch(x, count: n, width: d, centroids, codes: k)
    guard let made, made.take(centroids, movedFrom: nil) else { return nil }
    (all, self.sample, isFirst) = (made, nil, true)
    return made
  }

  /// Forgets all bounds, as where codes have been given otherwise.
  func forget() { (all, sample) = (nil, nil) }

  private func search(_ sample: BoundedSearch, _ centroids: UnsafePointer<Float>) -> Bool {
    guard let tiles = sample.tiles else { return false }
    parallelFor(Self.sampled, grain: 256) { range in
      var block = BoundedBlock(sample, tiles, centroids)
      defer { block.deallocate() }
      for first in stride(from: range.lowerBound, to: range.upperBound, by: block.points) {
        let count = min(block.points, range.upperBound - first)
        block.find(first: first, count: count, codes + first)
      }
    }
    return !UnsafeBufferPointer(start: codes, count: Self.sampled).contains(-1)
  }

  /// The time of a step that scans `share` of the tiles, in that of a search among all centroids.
  private func cost(_ share: Double) -> Double {
    let kernels = GroupKernels.usable
    let isSlower = kernels.scanShorts == nil && TileKernels.usable.pairs != nil
    let width = Double(d)
    return (isSlower ? 2.4 : 1.2) * share + 100 * (60 + width) / (Double(k) * width)
  }
}
