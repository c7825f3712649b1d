/// Times by which the product of all that a tap's points mix of a tile, inputs and gradients, may
/// exceed what the tap sees of it: 36 where planes are even, 25 where phases are, more at corners.
private let mostContrast: Float = 360
/// Outputs, at least: of fewer, two channels may share few products that are not small.
private let leastOutputs = 256

/// Tiles of a rectangle of outputs, which read rectangles of pixels.
protocol WinogradAreas: WinogradTiles {
  var images: Int { get }
  /// Pixels of the images that are read, and of those that are written.
  var source: (height: Int, width: Int) { get }
  var result: (height: Int, width: Int) { get }
  /// Of an image's part of a grid, borders included.
  var inputGridSize: (rows: Int, columns: Int) { get }
  var outputGridSize: (rows: Int, columns: Int) { get }
  /// The pixel at the first place of the grid of inputs.
  var inputCorner: (row: Int, column: Int) { get }

  /// Adds what the taps see of a tile, by the grids of its inputs and its gradients.
  func add(
    _ tile: Int, _ x: WinogradGrid, _ gradient: WinogradGrid, to sum: inout TapMagnitudes)
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

extension WinogradAreas {
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
    return TapMagnitudes.sum(over: tiles, mostContrast: mostContrast) { range, sum in
      for tile in range { add(tile, inputs.grid, outputs.grid, to: &sum) }
    }.areEven(form.taps, tiles: tiles)
  }

  var evenScratchCount: Int {
    ImageMagnitudes.scratchCount(self, isInput: true)
      + ImageMagnitudes.scratchCount(self, isInput: false)
  }
}
