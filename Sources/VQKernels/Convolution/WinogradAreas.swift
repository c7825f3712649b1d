/// Times by which the product of all that a tap's points mix of a tile, inputs and gradients, may
/// exceed what the tap sees of it: 36 where planes are even, 25 where phases are, more at corners.
private let mostProducts: Float = 360
/// Outputs, at least: of fewer, two channels may share few products that are not small.
private let leastOutputs = 256

/// Tiles of a rectangle of outputs, which read rectangles of pixels.
protocol WinogradAreas: WinogradTiles {
  var images: Int { get }
  /// Pixels of the images that are read, and of those that are written.
  var source: (height: Int, width: Int) { get }
  var result: (height: Int, width: Int) { get }
  /// The first pixel of each phase, which may be negative, and from one to the next.
  var corners: [(row: Int, column: Int)] { get }
  var sourceStep: Int { get }
  /// The first output, and from one to the next.
  var first: (row: Int, column: Int) { get }
  var resultStep: Int { get }

  /// Times by which the magnitude of a tile may exceed what one of its outputs sees, with even
  /// taps.
  var mostContrast: Float { get }
  /// The sum over a tile's pixels, the least sum over those of an output, and whether outputs see
  /// many elements, by the grids of sums and of largest elements.
  func seen(
    _ sums: WinogradGrid, _ peaks: WinogradGrid, _ tile: Int
  ) -> (sum: Float, least: Float, isMany: Bool)

  /// Adds what the taps see of a tile, by the grids of its inputs and its gradients.
  func add(
    _ tile: Int, _ x: WinogradGrid, _ gradient: WinogradGrid, to sum: inout TapMagnitudes)
}

extension WinogradAreas {
  /// Outputs along both axes, and of a tile along each.
  var rows: Int { (result.height - first.row + resultStep - 1) / resultStep }
  var columns: Int { (result.width - first.column + resultStep - 1) / resultStep }
  var side: Int { form.outputSide }
  var tileRows: Int { (rows + side - 1) / side }
  var tileColumns: Int { (columns + side - 1) / side }
  var tiles: Int { images * tileRows * tileColumns }

  /// Pixels of a tile along an axis, of one phase and of all.
  var patchSide: Int { side + form.tapSide - 1 }
  var pixelSide: Int { sourceStep * patchSide }

  /// Of an image's part of a grid, borders included.
  var inputGridSize: (rows: Int, columns: Int) {
    let shared = pixelSide - sourceStep * side
    return (sourceStep * side * tileRows + shared, sourceStep * side * tileColumns + shared)
  }
  var outputGridSize: (rows: Int, columns: Int) { (side * tileRows, side * tileColumns) }
  /// The pixel at the first place of the grid of inputs.
  var inputCorner: (row: Int, column: Int) { corners[0] }

  func withPatches(
    _ range: Range<Int>, _ x: UnsafePointer<Float>, channels: Int, offset: Int,
    outside: UnsafePointer<Float>, _ body: (WinogradKernels.Sources) -> Void
  ) {
    withUnsafeTemporaryAllocation(
      of: UnsafePointer<Float>.self, capacity: form.phases * form.pixels * range.count
    ) { rows in
      var next = rows.baseAddress!
      for corner in corners {
        for tile in range {
          let (image, top, left) = place(tile)
          for i in 0..<patchSide {
            let y = (top + i) * sourceStep + corner.row
            let row = x + (image * source.height + y) * source.width * channels + offset
            for j in 0..<patchSide {
              let x1 = (left + j) * sourceStep + corner.column
              let isInside = y >= 0 && y < source.height && x1 >= 0 && x1 < source.width
              next.initialize(to: isInside ? row + x1 * channels : outside)
              next += 1
            }
          }
        }
      }
      body(UnsafePointer(rows.baseAddress!))
    }
  }

  func withOutputs(
    _ range: Range<Int>, _ y: UnsafeMutablePointer<Float>, channels: Int, offset: Int,
    outside: UnsafeMutablePointer<Float>, _ body: (WinogradKernels.Targets) -> Void
  ) {
    withUnsafeTemporaryAllocation(
      of: UnsafeMutablePointer<Float>.self, capacity: form.outputs * range.count
    ) { rows in
      var next = rows.baseAddress!
      for tile in range {
        let (image, top, left) = place(tile)
        for i in top..<top + side {
          let y1 = first.row + i * resultStep
          let row = y + (image * result.height + y1) * result.width * channels + offset
          for j in left..<left + side {
            let x = first.column + j * resultStep
            let isInside = y1 < result.height && x < result.width
            next.initialize(to: isInside ? row + x * channels : outside)
            next += 1
          }
        }
      }
      body(UnsafePointer(rows.baseAddress!))
    }
  }

  /// The image of a tile and its first row and column of outputs.
  @inline(__always)
  func place(_ tile: Int) -> (image: Int, top: Int, left: Int) {
    let (image, place) = tile.quotientAndRemainder(dividingBy: tileRows * tileColumns)
    return (image, place / tileColumns * side, place % tileColumns * side)
  }
}

extension WinogradAreas {
  /// A grid whose tiles begin at their first pixel; `values` has room for `inputGridCount`.
  func inputGrid(_ values: UnsafeMutablePointer<Float>) -> WinogradGrid {
    WinogradGrid(values: values, rows: inputGridSize.rows, columns: inputGridSize.columns)
  }

  /// A grid of outputs; `values` has room for `outputGridCount`.
  func outputGrid(_ values: UnsafeMutablePointer<Float>) -> WinogradGrid {
    WinogradGrid(values: values, rows: outputGridSize.rows, columns: outputGridSize.columns)
  }

  /// With what the vectors of the last tile reach beyond it.
  var inputGridCount: Int { images * inputGridSize.rows * inputGridSize.columns + 4 }
  var outputGridCount: Int { images * outputGridSize.rows * outputGridSize.columns + 4 }

  /// Calls `measure` with the pixels of each row of images and their place in the grid's values,
  /// for the grid rows in `range`, flat over images; fills the border of `grids` with zeros.
  func forEachRow(
    _ range: Range<Int>, _ grids: [WinogradGrid], isInput: Bool,
    _ measure: (_ pixel: Int, _ count: Int, _ place: Int) -> Void
  ) {
    let (rows, columns) = (grids[0].rows, grids[0].columns)
    let corner = isInput ? inputCorner : (row: 0, column: 0)
    let (height, width) = isInput ? source : result
    let inside = max(0, corner.column)..<min(width, corner.column + columns)
    for row in range {
      let (image, y) = (row / rows, row % rows + corner.row)
      for grid in grids { (grid.values + row * columns).update(repeating: 0, count: columns) }
      if y >= 0, y < height {
        measure(
          (image * height + y) * width + inside.lowerBound, inside.count,
          row * columns + inside.lowerBound - corner.column)
      }
    }
  }
}

/// Magnitudes of images.
struct ImageMagnitudes {
  /// By pixel, summed over channels.
  let grid: WinogradGrid
  /// Whether no few elements make up a channel.
  let areEven: Bool

  /// - Parameters:
  ///   - x: images of the inputs of `areas`, or of its outputs.
  ///   - scratch: room for `scratchCount`.
  init(
    _ x: UnsafePointer<Float>, _ areas: some WinogradAreas, isInput: Bool,
    scratch: UnsafeMutablePointer<Float>
  ) {
    let channels = isInput ? areas.inputs : areas.outputs
    let (height, width) = isInput ? areas.source : areas.result
    let magnitudes = ChannelMagnitudes(channels: channels, scratch: scratch)
    let values = scratch + ChannelMagnitudes.scratchCount(channels: channels)
    let grid = isInput ? areas.inputGrid(values) : areas.outputGrid(values)
    self.grid = grid
    let measure = areas.kernels.measureChannels
    let rows = areas.images * grid.rows
    parallelFor(winogradRanges, grain: 1) { parts in
      for part in parts {
        areas.forEachRow(part.share(of: rows), [grid], isInput: isInput) { pixel, count, place in
          measure(
            x + pixel * channels, count, channels, grid.values + place, magnitudes.sums(part),
            magnitudes.peaks(part))
        }
      }
    }
    areEven = magnitudes.areEven(pixels: areas.images * height * width)
  }

  static func scratchCount(_ areas: some WinogradAreas, isInput: Bool) -> Int {
    isInput
      ? areas.inputGridCount + ChannelMagnitudes.scratchCount(channels: areas.inputs)
      : areas.outputGridCount + ChannelMagnitudes.scratchCount(channels: areas.outputs)
  }
}

/// The largest sum of magnitudes whose points are finite.
private let largestSum: Float = 0x1p110

extension WinogradAreas {
  var markScratchCount: Int { 2 * inputGridCount }

  func markUneven(
    _ x: UnsafePointer<Float>, _ weights: WinogradWeights,
    _ isUneven: UnsafeMutablePointer<Bool>, scratch: UnsafeMutablePointer<Float>
  ) -> Int {
    let (sums, peaks) = (inputGrid(scratch), inputGrid(scratch + inputGridCount))
    let (channels, measure) = (inputs, kernels.measurePixels)
    let grain = max(1, elementGrain / (channels * source.width))
    parallelFor(images * sums.rows, grain: grain) { range in
      forEachRow(range, [sums, peaks], isInput: true) { pixel, count, place in
        measure(
          x + pixel * channels, count, channels, weights.share, sums.values + place,
          peaks.values + place)
      }
    }
    let contrast = mostContrast / weights.unevenness
    let limit = min(largestSum, largestSum / max(weights.scale, 0x1p-100))
    parallelFor(tiles, grain: 256) { range in
      for tile in range {
        let (sum, least, isMany) = seen(sums, peaks, tile)
        isUneven[tile] = !(sum <= contrast * least && isMany && sum < limit)
      }
    }
    var count = 0
    for tile in 0..<tiles where isUneven[tile] { count += 1 }
    return count
  }

  func isEven(
    _ x: UnsafePointer<Float>, _ gradient: UnsafePointer<Float>,
    scratch: UnsafeMutablePointer<Float>
  ) -> Bool {
    guard images * result.height * result.width >= leastOutputs else { return false }
    let inputs = ImageMagnitudes(x, self, isInput: true, scratch: scratch)
    guard inputs.areEven else { return false }
    let outputs = ImageMagnitudes(
      gradient, self, isInput: false,
      scratch: scratch + ImageMagnitudes.scratchCount(self, isInput: true))
    guard outputs.areEven else { return false }
    return TapMagnitudes.sum(over: tiles, mostContrast: mostProducts) { range, sum in
      for tile in range { add(tile, inputs.grid, outputs.grid, to: &sum) }
    }.areEven(form.taps, tiles: tiles)
  }

  var evenScratchCount: Int {
    ImageMagnitudes.scratchCount(self, isInput: true)
      + ImageMagnitudes.scratchCount(self, isInput: false)
  }
}
