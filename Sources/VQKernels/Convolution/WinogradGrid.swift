import CPlatform

/// A number for each pixel of images, with zeros around them so that each tile's are there.
struct WinogradGrid {
  let values: UnsafeMutablePointer<Float>
  /// Rows of an image's part and their length, borders included.
  let rows, columns: Int

  typealias Four = SIMD4<Float>

  @inline(__always)
  func row(_ image: Int, _ y: Int) -> UnsafeMutablePointer<Float> {
    values + (image * rows + y) * columns
  }

  @inline(__always)
  static func four(_ x: UnsafePointer<Float>) -> Four {
    UnsafeRawPointer(x).loadUnaligned(as: Four.self)
  }
}

extension WinogradPlanes {
  /// A grid whose tiles begin at the corner of their patch; `values` has room for `inputGridCount`.
  func inputGrid(_ values: UnsafeMutablePointer<Float>) -> WinogradGrid {
    WinogradGrid(
      values: values, rows: side * tileRows + 6 - side, columns: side * tileColumns + 6 - side)
  }

  /// A grid of outputs; `values` has room for `outputGridCount`.
  func outputGrid(_ values: UnsafeMutablePointer<Float>) -> WinogradGrid {
    WinogradGrid(values: values, rows: side * tileRows, columns: side * tileColumns)
  }

  /// With what the vectors of the last tile reach beyond it.
  var inputGridCount: Int {
    images * (side * tileRows + 6 - side) * (side * tileColumns + 6 - side) + 4
  }

  var outputGridCount: Int { form.outputs * tiles + 4 }

  /// Calls `measure` with the pixels of each row of images and their place in the grid's values,
  /// for the grid rows in `range`, flat over images; fills the border of `grids` with zeros.
  func forEachRow(
    _ range: Range<Int>, _ grids: [WinogradGrid], isInput: Bool,
    _ measure: (_ pixel: Int, _ place: Int) -> Void
  ) {
    let (rows, columns) = (grids[0].rows, grids[0].columns)
    let (top, left) = isInput ? (paddingHeight, paddingWidth) : (0, 0)
    let (height, width) = isInput ? (height, width) : (outHeight, outWidth)
    for row in range {
      let (image, y) = (row / rows, row % rows - top)
      for grid in grids { (grid.values + row * columns).update(repeating: 0, count: columns) }
      if y >= 0, y < height { measure((image * height + y) * width, row * columns + left) }
    }
  }
}
