import CPlatform

/// Nearest centroids of points that a few steps of k-means have moved little, by bounds that leave
/// most of them out (Ding et al. 2015, Yinyang k-means).
///
/// Each point keeps, for each group of centroids, a lower bound of the distance to all of them but
/// its own; when centroids move, the bounds fall by the largest move of each group. A group whose
/// bound stays above the distance to the point's own centroid has no nearer one. The bounds err on
/// the safe side by more than rounding does, and what is left is scored and ranked as `PanelSearch`
/// does: the codes are those of `nearestCode`.
final class BoundedSearch {
  /// What bounds keep of themselves, so that no rounding raises one.
  static let keep: Float = 1 - 0x1p-20

  let x: UnsafePointer<Float>
  let d: Int
  let groups: CentroidGroups
  let kernels: GroupKernels
  let tileKernels: TileKernels
  /// A distance in float32 is within this share, and `least`, of itself.
  let slack: Float
  let least: Float
  /// [n, padded]: a bound plus the drift of its group when it was made.
  let bounds: UnsafeMutablePointer<Float>
  private(set) var drift: [Float]
  private var exactDrift: [Double]
  private(set) var tiles: GroupTiles?
  private let n: Int
  private let k: Int
  /// Groups that blocks have scanned since the centroids were taken, summed over points.
  let scanned: UnsafeMutablePointer<vq_atomic>

  /// nil where there is no memory for the bounds.
  init?(
    _ x: UnsafePointer<Float>, count n: Int, width d: Int, _ centroids: UnsafePointer<Float>,
    codes k: Int, instructionSet: InstructionSet = .usable
  ) {
    kernels = GroupKernels(instructionSet)
    tileKernels = TileKernels(instructionSet)
    let groups = CentroidGroups(centroids, codes: k, width: d, tileCodes: kernels.tileCodes)
    guard vq_has_memory(Int64(n * groups.padded * MemoryLayout<Float>.stride)) else {
      groups.deallocate()
      return nil
    }
    (self.x, self.d, self.n, self.k, self.groups) = (x, d, n, k, groups)
    scanned = .allocate(capacity: 1)
    vq_atomic_store(scanned, 0)
    slack = Float(d + 16) * 0x1p-23
    least = 2e-18 * Float(d).squareRoot()
    drift = [Float](repeating: 0, count: groups.padded)
    exactDrift = [Double](repeating: 0, count: groups.padded)
    let bounds = UnsafeMutablePointer<Float>.allocate(capacity: n * groups.padded)
    self.bounds = bounds
    parallelFor(n, grain: max(1, elementGrain / groups.padded)) { range in
      for row in range { forget(bounds + row * groups.padded, groups) }
    }
  }

  deinit {
    bounds.deallocate()
    groups.deallocate()
    scanned.deallocate()
  }

  /// The share of all groups that the last search scanned.
  var share: Double { Double(vq_atomic_load(scanned)) / Double(n * groups.count) }

  /// Takes the centroids [k, d] to search among and, where they have moved since the search before,
  /// where from; false where they are of sizes that bounds in float32 do not serve.
  func take(_ centroids: UnsafePointer<Float>, movedFrom before: UnsafePointer<Float>?) -> Bool {
    tiles = GroupTiles(centroids, codes: k, width: d, groups, kernels, tileKernels)
    guard tiles != nil else { return false }
    vq_atomic_store(scanned, 0)
    guard let before else { return true }
    let size = groups.tiles * kernels.tileCodes
    for group in 0..<groups.count {
      var largest = 0.0
      for place in group * size..<(group + 1) * size where groups.codes[place] >= 0 {
        let first = Int(groups.codes[place]) * d
        largest = max(largest, squaredDistance(centroids + first, before + first, width: d))
      }
      exactDrift[group] += largest.squareRoot() * (1 + 0x1p-40)
      drift[group] = Float(exactDrift[group]).nextUp
    }
    return true
  }
}

/// Sets the bounds of a point to what is known of it, nothing; groups that do not exist are never
/// needed.
func forget(_ bounds: UnsafeMutablePointer<Float>, _ groups: CentroidGroups) {
  bounds.update(repeating: -.infinity, count: groups.count)
  (bounds + groups.count).update(repeating: .infinity, count: groups.padded - groups.count)
}

/// Centroids minus their mean in tiles by group, in float32 and, where the CPU multiplies it
/// faster, in int16.
final class GroupTiles {
  let centered: CenteredCodebook
  let codes: UnsafeMutablePointer<Float>  // [padded, tiles, d, tileCodes]
  let starts: UnsafeMutablePointer<Float>  // [padded, tiles, tileCodes], -inf where there is none
  let marginTerms: [Float]
  let shorts: ShortTiles?

  struct ShortTiles {
    let kernels: PairKernels
    let pairs: Int
    let scale: Float
    let codes: UnsafeMutablePointer<Int32>  // [padded, tiles, pairs, tileCodes]
    let marginTerms: [Float]
  }

  init?(
    _ centroids: UnsafePointer<Float>, codes k: Int, width d: Int, _ groups: CentroidGroups,
    _ kernels: GroupKernels, _ tileKernels: TileKernels
  ) {
    let centered = CenteredCodebook(
      centroids, codes: k, width: d, isScaled: true)
    guard
      centered.nonFinite == nil, centered.scale == 1, centered.longestPoint == .infinity,
      centered.isProductSafe
    else { return nil }
    self.centered = centered
    marginTerms = centered.marginTerms()
    let size = kernels.tileCodes
    let count = groups.padded * groups.tiles
    let codes = UnsafeMutablePointer<Float>.allocate(capacity: count * d * size)
    let starts = UnsafeMutablePointer<Float>.allocate(capacity: count * size)
    (self.codes, self.starts) = (codes, starts)
    let pairKernels =
      kernels.scanShorts == nil || screensInFloat32 || d < PairTiles.leastWidth
      ? nil : tileKernels.pairs
    let pairs = (d + 1) / 2
    let shorts = UnsafeMutablePointer<Int32>.allocate(
      capacity: pairKernels == nil ? 0 : count * pairs * size)
    let scale = pairKernels?.scale(Float(centered.maximumNorm).nextUp) ?? 1
    var lost = [Float](repeating: 0, count: count * size)
    lost.withUnsafeMutableBufferPointer { lost in
      let lost = lost.baseAddress!
      parallelFor(count, grain: max(1, elementGrain / (d * size))) { range in
        withUnsafeTemporaryAllocation(of: Float.self, capacity: size * d) { buffer in
          let rows = buffer.baseAddress!
          let scales = [Float](repeating: scale, count: size)
          for tile in range {
            let target = codes + tile * d * size
            for j in 0..<size {
              let code = Int(groups.codes[tile * size + j])
              starts[tile * size + j] = code < 0 ? -.infinity : -centered.halfNorms[code]
              for i in 0..<d {
                let value = code < 0 ? 0 : centered.codes[code * d + i]
                rows[j * d + i] = value
                target[i * size + j] = value
              }
            }
            pairKernels?.round(
              rows, size, d, scales, shorts + tile * pairs * size, 1, size, lost + tile * size)
          }
        }
      }
    }
    guard let pairKernels else {
      shorts.deallocate()
      self.shorts = nil
      return
    }
    self.shorts = ShortTiles(
      kernels: pairKernels, pairs: pairs, scale: scale, codes: shorts,
      marginTerms: centered.marginTerms(codesLost: lengthBound(lost.max() ?? 0, width: d)))
  }

  deinit {
    codes.deallocate()
    starts.deallocate()
    shorts?.codes.deallocate()
  }
}
