import CPlatform

/// Finds the nearest centroids of the points of one block at a time by the bounds of a
/// `BoundedSearch`; scratch memory of one thread.
struct BoundedBlock: BlockSearch {
  /// Centroids that a point may have within its margin; one with more is ranked over all.
  private static let mostCandidates = 16

  let points: Int

  private let search: BoundedSearch
  private let tiles: GroupTiles
  // Of those, what each point asks for: references would be counted there.
  private let d: Int
  private let groups: CentroidGroups
  private let kernels: GroupKernels
  private let (slack, least): (Float, Float)
  private let tileCodes: UnsafePointer<Float>
  private let tileStarts: UnsafePointer<Float>
  private let codebook: UnsafePointer<Float>
  private let drift: UnsafeMutablePointer<Float>  // [padded]
  private let own: UnsafeMutablePointer<Float>  // [points], squared distances to the own centroid
  private let centered: UnsafeMutablePointer<Float>  // [points, d]
  private let squares: UnsafeMutablePointer<Float>  // [points], and so the following
  private let margins: UnsafeMutablePointer<Float>
  private let screenMargins: UnsafeMutablePointer<Float>
  private let lostSquares: UnsafeMutablePointer<Float>
  private let scales: UnsafeMutablePointer<Float>
  private let factors: UnsafeMutablePointer<Float>
  private let shorts: UnsafeMutablePointer<Int32>  // [points, pairs]
  private let maxima: UnsafeMutablePointer<Float>  // [points, tiles, padded]; -inf: not scanned
  private let lists: UnsafeMutablePointer<Int32>  // [padded, room]
  /// Not a power of two, whose multiples would share the cache's sets.
  private let room: Int
  private let lengths: UnsafeMutablePointer<Int32>  // [padded]
  private let places: UnsafeMutablePointer<Int32>  // [tiles * padded]
  private let scores: UnsafeMutablePointer<Float>  // [tileCodes]
  private let memory: UnsafeMutableRawPointer
  /// What `scores` are of.
  private var scored = (row: -1, column: -1)

  init(_ search: BoundedSearch, _ tiles: GroupTiles, _ codebook: UnsafePointer<Float>) {
    (self.search, self.tiles, self.codebook) = (search, tiles, codebook)
    let (d, groups) = (search.d, search.groups)
    (self.d, self.groups, kernels) = (d, groups, search.kernels)
    (slack, least) = (search.slack, search.least)
    (tileCodes, tileStarts) = (UnsafePointer(tiles.codes), UnsafePointer(tiles.starts))
    let columns = groups.tiles * groups.padded
    points = max(64, min(256, (1 << 16) / columns / 32 * 32))
    room = points + 16
    let sizes = [
      groups.padded, points, points * d, points, points + 32, points + 32, points, points, points,
      points * (d + 1) / 2, points * columns, groups.padded * room, groups.padded, columns,
      search.kernels.tileCodes,
    ]
    let aligned = sizes.map { ($0 + 15) / 16 * 16 }
    memory = .allocate(byteCount: 4 * aligned.reduce(0, +), alignment: 64)
    var next = memory
    var index = 0
    func take<Value>(_ type: Value.Type) -> UnsafeMutablePointer<Value> {
      defer {
        next += 4 * aligned[index]
        index += 1
      }
      return next.assumingMemoryBound(to: type)
    }
    drift = take(Float.self)
    own = take(Float.self)
    centered = take(Float.self)
    squares = take(Float.self)
    margins = take(Float.self)
    screenMargins = take(Float.self)
    lostSquares = take(Float.self)
    scales = take(Float.self)
    factors = take(Float.self)
    shorts = take(Int32.self)
    maxima = take(Float.self)
    lists = take(Int32.self)
    lengths = take(Int32.self)
    places = take(Int32.self)
    scores = take(Float.self)
    drift.update(from: search.drift, count: groups.padded)
  }

  func deallocate() { memory.deallocate() }

  /// Writes the codes of `count` points from `first` on, at most a block, over those that they had,
  /// `codes` [count]; -1 for those left to the whole codebook.
  mutating func find(first: Int, count: Int, _ codes: UnsafeMutablePointer<Int32>) {
    let x = search.x + first * d
    let bounds = search.bounds + first * groups.padded
    let columns = groups.tiles * groups.padded
    lengths.update(repeating: 0, count: groups.padded)
    scored = (-1, -1)
    kernels.needGroups(
      x, count, codes, codebook, d, slack, least, bounds, drift, groups.padded, own,
      lists, room, lengths)
    search.tileKernels.centerRows(
      x, count, tiles.centered.floatCenter, d, 1, centered, squares)
    measureMargins(count)
    maxima.update(repeating: -.infinity, count: count * columns)
    var scanned: Int64 = 0
    for group in 0..<groups.count where lengths[group] > 0 {
      scanned += Int64(lengths[group])
      for tile in 0..<groups.tiles { scan(group, tile) }
    }
    vq_atomic_add(search.scanned, scanned)
    for row in 0..<count {
      let code = decide(row, x + row * d, Int(codes[row]))
      if code < 0 {
        forget(bounds + row * groups.padded, groups)
      } else {
        update(row, from: Int(codes[row]), to: code, bounds + row * groups.padded)
      }
      codes[row] = Int32(truncatingIfNeeded: code)
    }
  }

  private func measureMargins(_ count: Int) {
    let kernels = search.tileKernels
    if let shortTiles = tiles.shorts {
      let least = shortTiles.marginTerms[5]
      for row in 0..<count {
        scales[row] = shortTiles.kernels.scale(squares[row].squareRoot() * 1.02 + least)
        factors[row] = 1 / scales[row] / shortTiles.scale
      }
      shortTiles.kernels.round(
        centered, count, d, scales, shorts, shortTiles.pairs, 1, lostSquares)
    }
    for first in stride(from: 0, to: count, by: kernels.panelPoints) {
      let panel = min(kernels.panelPoints, count - first)
      kernels.boundMargins(
        squares + first, squares + first, panel, tiles.marginTerms, margins + first)
      guard let shortTiles = tiles.shorts else { continue }
      kernels.boundMargins(
        squares + first, lostSquares + first, panel, shortTiles.marginTerms, screenMargins + first)
    }
    if tiles.shorts == nil { screenMargins.update(from: margins, count: count) }
  }

  private func scan(_ group: Int, _ tile: Int) {
    let index = group * groups.tiles + tile
    let (list, count) = (lists + group * room, Int(lengths[group]))
    let out = maxima + tile * groups.padded + group
    let stride = groups.tiles * groups.padded
    let starts = tileStarts + index * kernels.tileCodes
    if let shortTiles = tiles.shorts, let scanShorts = kernels.scanShorts {
      scanShorts(
        shorts, list, count, shortTiles.codes + index * shortTiles.pairs * kernels.tileCodes,
        starts, factors, shortTiles.pairs, out, stride)
    } else {
      kernels.scanTile(
        centered, list, count, tileCodes + index * d * kernels.tileCodes, starts, d, out, stride)
    }
  }

  /// The squared length of a point from below.
  @inline(__always)
  private func length(_ row: Int) -> Float { squares[row] * (1 - slack) }

  /// The nearest centroid of a point, of its own and those that were scanned; -1 where too many
  /// are within the margin.
  private mutating func decide(_ row: Int, _ x: UnsafePointer<Float>, _ code: Int) -> Int {
    let size = kernels.tileCodes
    let (margin, screenMargin) = (margins[row], screenMargins[row])
    guard screenMargin < .infinity else { return -1 }
    let columns = groups.tiles * groups.padded
    // A score below this is that of a centroid farther than the own one.
    let reach = own[row].squareRoot() * (1 + slack) + self.least
    let least = (length(row) - reach * reach * (1 + 0x1p-20)) / 2
    let count = kernels.nearMaxima(
      maxima + row * columns, columns, screenMargin, least - screenMargin, places)
    var found: (count: Int, highest: Float) = (0, -.infinity)
    return withUnsafeTemporaryAllocation(
      of: (code: Int32, score: Float).self, capacity: Self.mostCandidates + size
    ) { buffer in
      let candidates = buffer.baseAddress!
      var limit = least - margin
      for index in 0..<count {
        let column = Int(places[index])
        score(row, column)
        let first = place(ofColumn: column)
        for j in 0..<size { found.highest = max(found.highest, scores[j]) }
        limit = max(limit, found.highest - margin)
        for j in 0..<size where scores[j] >= limit {
          let other = groups.codes[first + j]
          if Int(other) == code { continue }
          candidates[found.count] = (other, scores[j])
          found.count += 1
        }
        var kept = 0
        for i in 0..<found.count where candidates[i].score >= limit {
          candidates[kept] = candidates[i]
          kept += 1
        }
        found.count = kept
        if kept > Self.mostCandidates { return -1 }
      }
      if found.count == 0 { return code }
      var nearest = code
      var distance = squaredDistance(x, codebook + code * d, width: d)
      for i in 0..<found.count {
        let other = Int(candidates[i].code)
        let square = squaredDistance(x, codebook + other * d, width: d)
        if square < distance || square == distance && other < nearest {
          (nearest, distance) = (other, square)
        }
      }
      return nearest
    }
  }

  /// The first place of the tile that a column of the maxima is of.
  @inline(__always)
  private func place(ofColumn column: Int) -> Int {
    let (tile, group) = column.quotientAndRemainder(dividingBy: groups.padded)
    return (group * groups.tiles + tile) * kernels.tileCodes
  }

  /// Scores the tile of a column, unless that has been done last.
  private mutating func score(_ row: Int, _ column: Int) {
    if scored.row == row, scored.column == column { return }
    scored = (row, column)
    let first = place(ofColumn: column)
    kernels.scoreTile(centered + row * d, tileCodes + first * d, tileStarts + first, d, scores)
  }

  /// Bounds of a point by what has been scanned, which leave out its own centroid.
  private mutating func update(
    _ row: Int, from before: Int, to code: Int, _ bounds: UnsafeMutablePointer<Float>
  ) {
    let size = kernels.tileCodes
    let columns = groups.tiles * groups.padded
    let maxima = maxima + row * columns
    let square = length(row)
    kernels.boundGroups(
      maxima, groups.tiles, square - 1.25 * screenMargins[row], drift, groups.padded,
      BoundedSearch.keep, bounds)

    func bound(_ score: Float, _ margin: Float) -> Float {
      max(square - 2 * score - 1.25 * margin, 0).squareRoot()
    }
    let place = Int(groups.places[code])
    let (index, slot) = place.quotientAndRemainder(dividingBy: size)
    let (group, tile) = index.quotientAndRemainder(dividingBy: groups.tiles)
    let column = tile * groups.padded + group
    if maxima[column] > -.infinity {
      score(row, column)
      var highest = -Float.infinity
      for j in 0..<size where j != slot { highest = max(highest, scores[j]) }
      var least = bound(highest, margins[row])
      for other in 0..<groups.tiles where other != tile {
        least = min(least, bound(maxima[other * groups.padded + group], screenMargins[row]))
      }
      bounds[group] = (least + drift[group]) * BoundedSearch.keep
    }
    if before == code { return }
    let left = Int(groups.places[before]) / size / groups.tiles
    if maxima[left] > -.infinity { return }
    let distance = max(own[row].squareRoot() * (1 - slack) - self.least, 0)
    bounds[left] = min(bounds[left], (distance + drift[left]) * BoundedSearch.keep)
  }
}
