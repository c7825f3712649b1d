/// What products are added to, where it is not zero.
enum ProductStart {
  /// One row for every place.
  case row(UnsafePointer<Float>)
  /// What the result holds.
  case result
}

/// The results of a convolution, or of those places that share their taps: each is the sum over
/// taps of the source's row that the tap meets times the tap's matrix [depth, width].
struct TapProducts {
  let images: Int
  let rows, columns: TapAxis
  let resultSize: (height: Int, width: Int)
  /// Channels of a group, of the source and of the result.
  let groups, depth, width: Int
  let weights: TapWeights
  let kernels: TapKernels

  /// Products that are added in registers before they are added to the others: their matrix stays
  /// in the first-level cache.
  private static let blockDepth = 192
  /// Elements of the source and of the result that a thread works on at a time: a quarter of a
  /// second-level cache each.
  private static let nearCount = 1 << 15

  /// Some taps, and the channels from `first` on of each; `offset` products come before.
  private struct Block {
    let taps: Range<Int>
    let first, depth, offset: Int
    var count: Int { taps.count * depth }
  }

  private var tapCount: Int { rows.taps.count * columns.taps.count }
  private var panels: Int { (width + kernels.columns - 1) / kernels.columns }
  /// Elements of a row of sums, a multiple of the product's columns.
  private var rowLength: Int { panels * kernels.columns }
  private var places: Int { images * rows.count * columns.count }
  private var packedCount: Int { groups * tapCount * depth * rowLength }

  private var blocks: [Block] {
    let parts = (depth + Self.blockDepth - 1) / Self.blockDepth
    let size = (depth + parts - 1) / parts
    let step = max(1, Self.blockDepth / depth)
    var (blocks, offset): ([Block], Int) = ([], 0)
    for tap in stride(from: 0, to: tapCount, by: step) {
      for first in stride(from: 0, to: depth, by: size) {
        let block = Block(
          taps: tap..<min(tap + step, tapCount), first: first, depth: min(size, depth - first),
          offset: offset)
        blocks.append(block)
        offset += block.count
      }
    }
    return blocks
  }

  /// How threads share the work: `places`, a multiple of the product's rows, and `panels` of each.
  private struct Share {
    let places, panels, parts: Int
  }

  /// What a thread reads and writes fits the second-level cache; as many shares as keep all threads
  /// at work.
  private func share(threads: Int) -> Share {
    let most = max(192, min(384, Self.nearCount / (depth * columns.stride)))
    var chunks = max(1, (places + most - 1) / most)
    let nearPanels = max(1, Self.nearCount / (max(1, min(most, places)) * kernels.columns))
    var parts = (panels + nearPanels - 1) / nearPanels
    if chunks * parts < 4 * threads { parts = min(panels, (4 * threads + chunks - 1) / chunks) }
    if chunks * parts < 4 * threads { chunks = (chunks + threads - 1) / threads * threads }
    let size = (places + chunks - 1) / chunks
    let each = (panels + parts - 1) / parts
    return Share(
      places: max(1, (size + kernels.rows - 1) / kernels.rows) * kernels.rows, panels: each,
      parts: (panels + each - 1) / each)
  }

  func scratchCount(threads: Int) -> Int {
    let share = share(threads: threads)
    return packedCount + groups * depth + threads * share.places * share.panels * kernels.columns
  }

  /// Writes the weights into `scratch`, as `compute` reads them.
  func prepare(_ weights: UnsafePointer<Float>, _ scratch: UnsafeMutablePointer<Float>) {
    pack(weights, blocks, scratch)
    (scratch + packedCount).update(repeating: 0, count: groups * depth)
  }

  /// `out` at these places, beginning from what `start` says; `scratch` has been prepared.
  func compute(
    _ source: UnsafePointer<Float>, from start: ProductStart?, _ out: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutablePointer<Float>, threads: Int
  ) {
    let (blocks, share) = (blocks, share(threads: threads))
    let (packed, zeros) = (UnsafePointer(scratch), UnsafePointer(scratch) + packedCount)
    let slots = ScratchSlots(
      scratch + packedCount + groups * depth, count: threads,
      stride: share.places * share.panels * kernels.columns)
    let chunks = (places + share.places - 1) / share.places
    parallelFor(chunks * share.parts, grain: 1) { units in
      for unit in units {
        let (chunk, part) = unit.quotientAndRemainder(dividingBy: share.parts)
        let range = chunk * share.places..<min((chunk + 1) * share.places, places)
        let panels = part * share.panels..<min((part + 1) * share.panels, self.panels)
        let tiles = (range.count + kernels.rows - 1) / kernels.rows
        slots.borrow { sums in
          withRows(of: range, tiles, source, outside: zeros) { met in
            for group in 0..<groups {
              let result = Result(
                sums: sums, panels: panels, size: kernels.columns, channels: width,
                first: group * width)
              result.clear(tiles * kernels.rows)
              if let start {
                forEachPlace(range) { index, image, i, j in
                  result.begin(index, start, out + place(image, i, j) * groups * width)
                }
              }
              multiply(
                met, tiles, blocks, packed + group * tapCount * depth * rowLength,
                first: group * depth, result)
              forEachPlace(range) { index, image, i, j in
                result.store(index, out + place(image, i, j) * groups * width)
              }
            }
          }
        }
      }
    }
  }

  @inline(__always)
  private func place(_ image: Int, _ i: Int, _ j: Int) -> Int {
    (image * resultSize.height + rows.first + i * rows.step) * resultSize.width
      + columns.first + j * columns.step
  }

  /// Sums of some columns of one group, [places, panels, columns of a product].
  private struct Result {
    let sums: UnsafeMutablePointer<Float>
    let panels: Range<Int>
    /// Columns of a product, channels of the group and the first of them.
    let size, channels, first: Int

    var stride: Int { panels.count * size }
    private var left: Int { panels.lowerBound * size }
    private var count: Int { min(channels - left, stride) }

    @inline(__always)
    func begin(_ place: Int, _ start: ProductStart, _ out: UnsafePointer<Float>) {
      let row =
        switch start {
        case .row(let bias): bias
        case .result: out
        }
      (sums + place * stride).update(from: row + first + left, count: count)
    }

    func clear(_ places: Int) { sums.update(repeating: 0, count: places * stride) }

    @inline(__always)
    func store(_ place: Int, _ out: UnsafeMutablePointer<Float>) {
      (out + first + left).update(from: sums + place * stride, count: count)
    }
  }

  /// Adds all products of one group.
  private func multiply(
    _ met: UnsafePointer<UnsafePointer<Float>>, _ tiles: Int, _ blocks: [Block],
    _ packed: UnsafePointer<Float>, first: Int, _ result: Result
  ) {
    let (rows, columns) = (kernels.rows, kernels.columns)
    for block in blocks {
      for panel in result.panels {
        let matrix = packed + block.offset * rowLength + panel * block.count * columns
        let sums = result.sums + (panel - result.panels.lowerBound) * columns
        for tile in 0..<tiles {
          kernels.addProducts(
            met + (tile * tapCount + block.taps.lowerBound) * rows, first + block.first,
            block.taps.count, block.depth, matrix, sums + tile * rows * result.stride,
            result.stride)
        }
      }
    }
  }

  /// Calls `body` with the rows of the source that the taps of the places `range` meet, [tiles,
  /// taps, rows of a product]; `outside` stands for those that are not there.
  private func withRows(
    of range: Range<Int>, _ tiles: Int, _ source: UnsafePointer<Float>,
    outside: UnsafePointer<Float>, _ body: (UnsafePointer<UnsafePointer<Float>>) -> Void
  ) {
    let (width, size) = (kernels.rows, groups * depth)
    let count = tiles * tapCount * width
    withUnsafeTemporaryAllocation(of: UnsafePointer<Float>.self, capacity: max(count, 1)) {
      let met = $0.baseAddress!
      met.initialize(repeating: outside, count: count)
      forEachPlace(range) { index, image, i, j in
        let (tile, row) = index.quotientAndRemainder(dividingBy: width)
        var next = met + tile * tapCount * width + row
        for offset in rows.offsets {
          let y = i * rows.stride + offset
          guard y >= 0, y < rows.size else {
            next += columns.taps.count * width
            continue
          }
          let line = source + (image * rows.size + y) * columns.size * size
          for offset in columns.offsets {
            let x = j * columns.stride + offset
            if x >= 0, x < columns.size { next.pointee = line + x * size }
            next += width
          }
        }
      }
      body(UnsafePointer(met))
    }
  }

  @inline(__always)
  private func forEachPlace(
    _ range: Range<Int>, _ body: (_ index: Int, _ image: Int, _ row: Int, _ column: Int) -> Void
  ) {
    let (line, first) = range.lowerBound.quotientAndRemainder(dividingBy: columns.count)
    var j = first
    var (image, i) = line.quotientAndRemainder(dividingBy: rows.count)
    for index in 0..<range.count {
      body(index, image, i, j)
      j += 1
      if j < columns.count { continue }
      (j, i) = (0, i + 1)
      if i == rows.count { (i, image) = (0, image + 1) }
    }
  }

  /// `packed` [groups, blocks, panels, products of a block, columns of a product] from the weights;
  /// zeros beyond the last channel.
  private func pack(
    _ weights: UnsafePointer<Float>, _ blocks: [Block], _ packed: UnsafeMutablePointer<Float>
  ) {
    let (size, layout) = (kernels.columns, self.weights)
    let taps = rows.taps.flatMap { row in columns.taps.map { row * layout.kernelWidth + $0 } }
    parallelFor(groups * panels, grain: 1) { range in
      for unit in range {
        let (group, panel) = unit.quotientAndRemainder(dividingBy: panels)
        let source = weights + group * layout.ofGroup + panel * size * layout.ofResult
        let target = packed + group * tapCount * depth * rowLength
        let lanes = min(size, width - panel * size)
        if lanes < size {
          for block in blocks {
            (target + block.offset * rowLength + panel * block.count * size)
              .update(repeating: 0, count: block.count * size)
          }
        }
        for block in blocks where block.taps.lowerBound == 0 {
          // Where the block's first channel of each tap goes.
          let places = blocks.filter { $0.first == block.first }.flatMap { block in
            block.taps.map {
              block.offset * rowLength
                + (panel * block.count + ($0 - block.taps.lowerBound) * block.depth) * size
            }
          }
          copy(source + block.first * layout.ofSource, taps, places, block.depth, lanes, target)
        }
      }
    }
  }

  /// `target[places[t] + i columns + lane] = source[i ofSource + lane ofResult + taps[t]]`.
  private func copy(
    _ source: UnsafePointer<Float>, _ taps: [Int], _ places: [Int], _ depth: Int, _ lanes: Int,
    _ target: UnsafeMutablePointer<Float>
  ) {
    let (size, layout) = (kernels.columns, self.weights)
    // A few channels at a time: what is read and what is written both stay near.
    let step = max(1, min(16, 256 / tapCount))
    taps.withUnsafeBufferPointer { taps in
      places.withUnsafeBufferPointer { places in
        @inline(__always)
        func copy(_ i: Int, _ lane: Int) {
          let element = source + i * layout.ofSource + lane * layout.ofResult
          let out = target + i * size + lane
          for t in 0..<taps.count { out[places[t]] = element[taps[t]] }
        }
        for start in stride(from: 0, to: depth, by: step) {
          let range = start..<min(start + step, depth)
          if layout.ofSource < layout.ofResult {
            for lane in 0..<lanes { for i in range { copy(i, lane) } }
          } else {
            for i in range { for lane in 0..<lanes { copy(i, lane) } }
          }
        }
      }
    }
  }
}
