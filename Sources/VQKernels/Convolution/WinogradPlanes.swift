/// Tiles of images, of F(4x4, 3x3) or F(2x2, 5x5).
struct WinogradPlanes: WinogradAreas {
  let images, height, width, outHeight, outWidth: Int
  let paddingHeight, paddingWidth: Int
  let inputs, outputs: Int
  let form: WinogradForm
  let kernels: WinogradKernels

  /// Nil where they do not apply or cost more than the plain convolution.
  init?(images: Int, window w: Window, outChannels: Int, kernels: WinogradKernels) {
    let side = w.kernelHeight
    guard side == 3 || side == 5, w.kernelWidth == side, w.strideHeight == 1, w.strideWidth == 1,
      w.dilationHeight == 1, w.dilationWidth == 1, w.paddingHeight < side, w.paddingWidth < side
    else { return nil }
    self.init(
      images: images, height: w.height, width: w.width, outHeight: w.outHeight,
      outWidth: w.outWidth, paddingHeight: w.paddingHeight, paddingWidth: w.paddingWidth,
      inputs: w.channels, outputs: outChannels, form: .plane(kernel: side), kernels: kernels)
    guard min(height, width, outHeight, outWidth) >= side,
      2 * form.points * tiles <= form.taps * images * outHeight * outWidth
    else { return nil }
  }

  private init(
    images: Int, height: Int, width: Int, outHeight: Int, outWidth: Int, paddingHeight: Int,
    paddingWidth: Int, inputs: Int, outputs: Int, form: WinogradForm, kernels: WinogradKernels
  ) {
    (self.images, self.height, self.width) = (images, height, width)
    (self.outHeight, self.outWidth) = (outHeight, outWidth)
    (self.paddingHeight, self.paddingWidth) = (paddingHeight, paddingWidth)
    (self.inputs, self.outputs, self.form, self.kernels) = (inputs, outputs, form, kernels)
  }

  var transposed: WinogradPlanes {
    WinogradPlanes(
      images: images, height: outHeight, width: outWidth, outHeight: height, outWidth: width,
      paddingHeight: form.tapSide - 1 - paddingHeight,
      paddingWidth: form.tapSide - 1 - paddingWidth, inputs: outputs, outputs: inputs, form: form,
      kernels: kernels)
  }

  var transforms: WinogradTransforms { kernels.planes }
  var order: TapOrder? { nil }
  var source: (height: Int, width: Int) { (height, width) }
  var result: (height: Int, width: Int) { (outHeight, outWidth) }
  var inputGridSize: (rows: Int, columns: Int) {
    (side * tileRows + 6 - side, side * tileColumns + 6 - side)
  }
  var outputGridSize: (rows: Int, columns: Int) { (side * tileRows, side * tileColumns) }
  var inputCorner: (row: Int, column: Int) { (-paddingHeight, -paddingWidth) }

  /// Outputs of a tile along an axis.
  var side: Int { form.outputSide }
  var tileRows: Int { (outHeight + side - 1) / side }
  var tileColumns: Int { (outWidth + side - 1) / side }
  var tiles: Int { images * tileRows * tileColumns }

  func withPatches(
    _ range: Range<Int>, _ x: UnsafePointer<Float>, channels: Int, offset: Int,
    outside: UnsafePointer<Float>, _ body: (WinogradKernels.Sources) -> Void
  ) {
    withUnsafeTemporaryAllocation(of: UnsafePointer<Float>.self, capacity: 36 * range.count) {
      rows in
      var next = rows.baseAddress!
      for tile in range {
        let (image, top, left) = corner(tile)
        for y in top - paddingHeight..<top - paddingHeight + 6 {
          for x1 in left - paddingWidth..<left - paddingWidth + 6 {
            let isInside = y >= 0 && y < height && x1 >= 0 && x1 < width
            next.initialize(
              to: isInside
                ? x + ((image * height + y) * width + x1) * channels + offset : outside)
            next += 1
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
        let (image, top, left) = corner(tile)
        for y1 in top..<top + side {
          for x in left..<left + side {
            let isInside = y1 < outHeight && x < outWidth
            next.initialize(
              to: isInside
                ? y + ((image * outHeight + y1) * outWidth + x) * channels + offset : outside)
            next += 1
          }
        }
      }
      body(UnsafePointer(rows.baseAddress!))
    }
  }

  /// The image of a tile and its first output row and column.
  @inline(__always)
  func corner(_ tile: Int) -> (image: Int, top: Int, left: Int) {
    let (image, place) = tile.quotientAndRemainder(dividingBy: tileRows * tileColumns)
    return (image, place / tileColumns * side, place % tileColumns * side)
  }
}
