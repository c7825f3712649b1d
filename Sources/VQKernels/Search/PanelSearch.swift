import Glibc

/// Finds the nearest codes of the points of one panel at a time; scratch memory of one thread.
///
/// For each tile of codes the screen gives every point the largest score. The tiles within the
/// screen's margin of a point's best contain its nearest code: their codes are scored in float32,
/// and where several lie within that margin the definition decides.
struct PanelSearch<Element: SearchElement> {
  /// Tiles whose maxima are held at once: 256 KiB.
  private static var blockTiles: Int { 2048 }
  /// Panels that go without a screen after one in which it has decided less than half of the
  /// points.
  private static var skippedPanels: Int { 15 }

  /// Copies of a point's nearest code that are passed by.
  private static var mostSame: Int { 12 }

  private let packed: PackedCodebook
  private let codebook: UnsafePointer<Element>
  /// Distances by the definition that a point may cost; one with more is ranked over the whole
  /// codebook.
  private let mostDistances: Int
  private var skips = 0
  private let kernels: TileKernels
  private let points: UnsafeMutablePointer<Float>  // [panelPoints, d], centered
  private let panel: UnsafeMutablePointer<Float>  // [d, panelPoints]
  private let pairPanel: UnsafeMutablePointer<Int32>  // [pairs, panelPoints]
  private let maxima: UnsafeMutablePointer<Float>  // [blockTiles, panelPoints]
  private let best: UnsafeMutablePointer<Float>  // [panelPoints], and so the following
  private let squares: UnsafeMutablePointer<Float>
  private let lostSquares: UnsafeMutablePointer<Float>
  private let scales: UnsafeMutablePointer<Float>
  private let factors: UnsafeMutablePointer<Float>
  private let margins: UnsafeMutablePointer<Float>  // +inf: rank by the definition
  private let pairMargins: UnsafeMutablePointer<Float>
  private let limits: UnsafeMutablePointer<Float>
  private let last: UnsafeMutablePointer<Int32>
  private let hits: UnsafeMutablePointer<Int32>
  private let found: UnsafeMutablePointer<Int32>
  private let scores: UnsafeMutablePointer<Float>  // [tileCodes]
  private let memory: UnsafeMutableRawPointer
  private var usesPairs: Bool
  private let stop: LoopStop

  init(_ packed: PackedCodebook, _ codebook: UnsafePointer<Element>, _ stop: LoopStop) {
    self.packed = packed
    mostDistances = max(1, min(16, packed.k / 64))
    self.codebook = codebook
    self.stop = stop
    kernels = packed.kernels
    usesPairs = packed.pairs != nil
    let (d, p) = (packed.d, packed.kernels.panelPoints)
    let block = min(packed.tileCount, Self.blockTiles)
    let sizes = [p * d, p * d, usesPairs ? p * (d + 1) / 2 : 0, block * p]
    let aligned = sizes.map { ($0 + 15) / 16 * 16 }
    memory = .allocate(
      byteCount: 4 * (aligned.reduce(0, +) + 11 * max(p, 16) + 16), alignment: 64)
    var next = memory
    func take<Value>(_ count: Int, _ type: Value.Type) -> UnsafeMutablePointer<Value> {
      defer { next += 4 * count }
      return next.assumingMemoryBound(to: type)
    }
    points = take(aligned[0], Float.self)
    panel = take(aligned[1], Float.self)
    pairPanel = take(aligned[2], Int32.self)
    maxima = take(aligned[3], Float.self)
    let lane = max(p, 16)
    best = take(lane, Float.self)
    squares = take(lane, Float.self)
    lostSquares = take(lane, Float.self)
    scales = take(lane, Float.self)
    factors = take(lane, Float.self)
    margins = take(lane, Float.self)
    pairMargins = take(lane, Float.self)
    limits = take(lane, Float.self)
    last = take(lane, Int32.self)
    hits = take(lane, Int32.self)
    found = take(lane, Int32.self)
    scores = take(16, Float.self)
  }

  func deallocate() { memory.deallocate() }

  /// Writes the codes of `count` points, at most a panel, x [count, d], -1 for those left to the
  /// whole codebook; returns the index of the first element that is not finite.
  mutating func find(
    _ x: UnsafePointer<Element>, count: Int, _ codes: UnsafeMutablePointer<Int32>
  ) -> Int? {
    let d = packed.d
    Element.center(x, count: count, packed.centered, kernels, points, squares)
    for r in 0..<count where !squares[r].isFinite {
      if let bad = (0..<d).first(where: { !x[r * d + $0].isFinite }) { return r * d + bad }
    }
    if skips > 0 {
      skips -= 1
      codes.update(repeating: -1, count: count)
      return nil
    }
    kernels.boundMargins(squares, squares, count, packed.marginTerms, margins)
    var isPacked = false
    if usesPairs { roundPanel(count) }
    for first in stride(from: 0, to: packed.tileCount, by: Self.blockTiles) {
      if stop.isRequested { return nil }
      let tiles = min(Self.blockTiles, packed.tileCount - first)
      if !usesPairs || !screenPairs(first, tiles, count) {
        if !isPacked { kernels.packPanel(points, count, d, panel) }
        isPacked = true
        screen(first, tiles)
      }
      let size = kernels.tileCodes
      kernels.decideCodes(
        points, count, packed.tiles + first * d * size, packed.starts + first * size, d, last,
        hits, margins, found)
      for r in 0..<count {
        var code = found[r] < 0 ? resolve(r, x + r * d, first, tiles) : found[r]
        if code >= 0 { code += Int32(first * size) }
        codes[r] = first == 0 ? code : nearer(codes[r], code, x + r * d)
      }
    }
    let wide = (0..<count).count { codes[$0] < 0 }
    if 2 * wide > count { skips = Self.skippedPanels }
    return nil
  }

  private func screen(_ first: Int, _ tiles: Int) {
    let (d, size) = (packed.d, kernels.tileCodes)
    best.update(repeating: -.infinity, count: kernels.panelPoints)
    kernels.scanTiles(
      panel, packed.tiles + first * d * size, packed.starts + first * size, d, tiles, maxima, best)
    _ = kernels.selectTiles(maxima, tiles, best, margins, limits, last, hits)
  }

  private func roundPanel(_ count: Int) {
    guard let pairs = packed.pairs else { return }
    let p = kernels.panelPoints
    if count < p { pairPanel.update(repeating: 0, count: pairs.pairs * p) }
    let least = pairs.marginTerms[5]
    for r in 0..<count {
      scales[r] = pairs.kernels.scale(squares[r].squareRoot() * 1.02 + least)
      factors[r] = 1 / scales[r] / pairs.scale
    }
    pairs.kernels.round(points, count, packed.d, scales, pairPanel, 1, p, lostSquares)
    kernels.boundMargins(squares, lostSquares, count, pairs.marginTerms, pairMargins)
  }

  /// False where so many tiles are left that the float32 screen is the faster one, also for the
  /// panels that follow.
  private mutating func screenPairs(_ first: Int, _ tiles: Int, _ count: Int) -> Bool {
    guard let pairs = packed.pairs else { return false }
    let (d, size) = (packed.d, kernels.tileCodes)
    best.update(repeating: -.infinity, count: kernels.panelPoints)
    pairs.kernels.scanTiles(
      pairPanel, pairs.tiles + first * pairs.pairs * size, packed.starts + first * size, factors,
      pairs.pairs, tiles, maxima, best)
    let left = kernels.selectTiles(maxima, tiles, best, pairMargins, limits, last, hits)
    // A tile costs about d + 40 cycles, the float32 screen of a point tiles * 12 * d / 32. That
    // leaves fewer tiles than bfloat16 does, and than int16 only of codes nearly as near.
    let share = pairs.kernels.longest == nil ? 8 : 3
    usesPairs = left * (d + 40) <= count * (2 * (d + 40) + tiles * d / share)
    return usesPairs
  }

  /// The nearest code of a block, from its first, by all tiles within the limit; -1 where too many
  /// codes are within the margin.
  private func resolve(_ r: Int, _ x: UnsafePointer<Element>, _ first: Int, _ tiles: Int) -> Int32 {
    let margin = margins[r]
    guard margin < .infinity else { return -1 }
    let (d, size, p) = (packed.d, kernels.tileCodes, kernels.panelPoints)
    let base = first * size
    var highest = -Float.infinity
    var nearest = -1
    var nearestScore = -Float.infinity
    var least = Double.nan  // the distance of `nearest`, once it has been needed
    var (distances, same) = (0, 0)
    for tile in 0..<tiles where maxima[tile * p + r] >= limits[r] {
      kernels.scoreTile(
        points + r * d, packed.tiles + (first + tile) * d * size,
        packed.starts + (first + tile) * size, d, scores)
      for j in 0..<size { highest = max(highest, scores[j]) }
      let limit = highest - margin
      for j in 0..<size where scores[j] >= limit {
        let code = tile * size + j
        if nearestScore < limit {
          (nearest, nearestScore, least) = (code, scores[j], .nan)
          continue
        }
        if scores[j] == nearestScore, same < Self.mostSame, isSame(base + code, base + nearest) {
          same += 1
          continue
        }
        distances += 1
        if distances > mostDistances { return -1 }
        if least.isNaN {
          least = squaredDistance(x, codebook + (base + nearest) * d, width: d)
        }
        let distance = squaredDistance(x, codebook + (base + code) * d, width: d)
        if distance < least { (nearest, nearestScore, least) = (code, scores[j], distance) }
      }
    }
    return Int32(nearest)
  }

  /// Whether the two codes hold the same bytes, so that the first is never farther.
  private func isSame(_ a: Int, _ b: Int) -> Bool {
    let d = packed.d
    return memcmp(codebook + a * d, codebook + b * d, d * MemoryLayout<Element>.stride) == 0
  }

  /// The nearer of two codes, the first on equality; -1 where either is.
  private func nearer(_ a: Int32, _ b: Int32, _ x: UnsafePointer<Element>) -> Int32 {
    if a < 0 || b < 0 { return -1 }
    let d = packed.d
    let first = squaredDistance(x, codebook + Int(a) * d, width: d)
    return squaredDistance(x, codebook + Int(b) * d, width: d) < first ? b : a
  }
}
