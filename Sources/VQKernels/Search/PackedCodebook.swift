import Glibc

/// Whether `VQSWIFT_SCREEN` keeps searches from a first screen of two bytes an element.
let screensInFloat32 = getenv("VQSWIFT_SCREEN").map { strcmp($0, "float32") == 0 } ?? false

/// A codebook as the tile kernels read it: minus its mean, in tiles of codes, with the start of
/// each score, minus half the squared norm.
public final class PackedCodebook {
  let kernels: TileKernels
  public let k: Int
  public let d: Int
  let tileCount: Int
  let centered: CenteredCodebook
  let tiles: UnsafeMutablePointer<Float>  // [tileCount, d, tileCodes]
  let starts: UnsafeMutablePointer<Float>  // [tileCount, tileCodes], -inf behind the last code
  let marginTerms: [Float]
  private(set) var pairs: PairTiles?
  private var exact: ExactCodebook?
  private var exactLock = pthread_mutex_t()

  /// The first element that is not finite.
  public var nonFinite: Int? { centered.nonFinite }

  /// Packs `source` [k, d], which it does not keep.
  ///
  /// - Parameter instructionSet: one that the CPU runs. With `avx512bf16` scores are first bounded
  ///   on bfloat16 pairs; the codes are the same with all.
  public convenience init(
    _ source: UnsafePointer<Float>, codes k: Int, width d: Int,
    instructionSet: InstructionSet = .usable
  ) {
    self.init(of: source, codes: k, width: d, instructionSet: instructionSet)
  }

  public convenience init(
    _ source: UnsafePointer<Double>, codes k: Int, width d: Int,
    instructionSet: InstructionSet = .usable
  ) {
    self.init(of: source, codes: k, width: d, instructionSet: instructionSet)
  }

  init<Element: SearchElement>(
    of source: UnsafePointer<Element>, codes k: Int, width d: Int, instructionSet: InstructionSet
  ) {
    pthread_mutex_init(&exactLock, nil)
    let underflow = GradualUnderflow()
    defer { underflow.end() }
    self.k = k
    self.d = d
    let kernels = instructionSet == .usable ? TileKernels.usable : TileKernels(instructionSet)
    self.kernels = kernels
    let size = kernels.tileCodes
    let count = (k + size - 1) / size
    tileCount = count
    let centered = CenteredCodebook(source, codes: k, width: d, isScaled: true)
    self.centered = centered
    marginTerms = centered.marginTerms()
    let tiles = UnsafeMutablePointer<Float>.allocate(capacity: count * d * size + 16)
    let starts = UnsafeMutablePointer<Float>.allocate(capacity: count * size + 16)
    (self.tiles, self.starts) = (tiles, starts)
    for i in 0..<16 {
      tiles[count * d * size + i] = 0
      starts[count * size + i] = -.infinity
    }
    parallelFor(count, grain: max(1, elementGrain / (d * size))) { range in
      for tile in range {
        packTile(centered, first: tile * size, size, tiles + tile * d * size, starts + tile * size)
      }
    }
    let pairKernels = screensInFloat32 ? nil : kernels.pairs
    if centered.nonFinite == nil, d >= PairTiles.leastWidth, let pairKernels {
      pairs = PairTiles(centered, pairKernels, tileCodes: size, tileCount: count)
    }
  }

  deinit {
    tiles.deallocate()
    starts.deallocate()
    pthread_mutex_destroy(&exactLock)
  }

  /// The codebook for the search by the definition, made of the same `source` when it is first
  /// needed.
  func exact<Element: SearchElement>(_ source: UnsafePointer<Element>) -> ExactCodebook {
    pthread_mutex_lock(&exactLock)
    defer { pthread_mutex_unlock(&exactLock) }
    if let exact { return exact }
    let made = completingLoops { ExactCodebook(source, centered, kernels) }
    exact = made
    return made
  }
}

private func packTile(
  _ codebook: CenteredCodebook, first: Int, _ size: Int, _ tile: UnsafeMutablePointer<Float>,
  _ starts: UnsafeMutablePointer<Float>
) {
  let d = codebook.d
  for j in 0..<size {
    let code = first + j
    guard code < codebook.k else {
      starts[j] = -.infinity
      for i in 0..<d { tile[i * size + j] = 0 }
      continue
    }
    starts[j] = -codebook.halfNorms[code]
    let row = codebook.codes + code * d
    for i in 0..<d { tile[i * size + j] = row[i] }
  }
}

/// The same tiles rounded to two bytes an element, two elements in a word.
final class PairTiles {
  /// Narrower codes gain nothing.
  static let leastWidth = 16

  let kernels: PairKernels
  let pairs: Int
  /// What all codes were multiplied by before they were rounded.
  let scale: Float
  let tiles: UnsafeMutablePointer<Int32>  // [tileCount, pairs, tileCodes]
  let marginTerms: [Float]

  init(_ codebook: CenteredCodebook, _ kernels: PairKernels, tileCodes size: Int, tileCount: Int) {
    self.kernels = kernels
    let d = codebook.d
    let pairs = (d + 1) / 2
    self.pairs = pairs
    let tiles = UnsafeMutablePointer<Int32>.allocate(capacity: tileCount * pairs * size)
    self.tiles = tiles
    scale = kernels.scale(Float(codebook.maximumNorm).nextUp)
    let scales = [Float](repeating: scale, count: size)
    var losses = [Float](repeating: 0, count: tileCount * size)
    losses.withUnsafeMutableBufferPointer { losses in
      let losses = losses.baseAddress!
      parallelFor(tileCount, grain: max(1, elementGrain / (d * size))) { range in
        for tile in range {
          let target = tiles + tile * pairs * size
          let count = min(size, codebook.k - tile * size)
          if count < size { target.update(repeating: 0, count: pairs * size) }
          kernels.round(
            codebook.codes + tile * size * d, count, d, scales, target, 1, size,
            losses + tile * size)
        }
      }
    }
    marginTerms = codebook.marginTerms(codesLost: lengthBound(losses.max() ?? 0, width: d))
  }

  deinit { tiles.deallocate() }
}
