/// The pixels of images that a kernel along one axis meets, by line: pixels of one row or column,
/// of each remainder of the dilation.
struct WinogradAxis {
  /// Pixels of an image, lines beside each other, and pixels of all remainders along the axis.
  let imageSize, across, length: Int
  /// From a line to the one beside it, and from a pixel to the next of the axis.
  let acrossStep, step: Int

  init(_ height: Int, _ width: Int, isRow: Bool) {
    imageSize = height * width
    (across, length) = isRow ? (height, width) : (width, height)
    (acrossStep, step) = isRow ? (width, 1) : (1, width)
  }
}

/// Tiles of F(m, r) with m + r = 8 along one axis of images. Behind each line come tiles that no
/// output needs, so that all parts of a filter meet the tiles of one line.
struct WinogradLines: WinogradTiles {
  let images: Int
  let source, result: WinogradAxis
  let padding, dilation: Int
  let inputs, outputs: Int
  let form: WinogradForm
  let kernels: WinogradKernels

  /// Taps that a filter may have at most.
  private static let mostTaps = 16

  /// Nil where they do not apply or cost more than the plain convolution.
  init?(images: Int, window w: Window, outChannels: Int, kernels: WinogradKernels) {
    let isRow = w.kernelHeight == 1
    guard w.strideHeight == 1, w.strideWidth == 1, isRow || w.kernelWidth == 1,
      (isRow ? w.paddingHeight : w.paddingWidth) == 0
    else { return nil }
    let taps = isRow ? w.kernelWidth : w.kernelHeight
    guard taps > 2, taps <= Self.mostTaps else { return nil }
    self.init(
      images: images, source: WinogradAxis(w.height, w.width, isRow: isRow),
      result: WinogradAxis(w.outHeight, w.outWidth, isRow: isRow),
      padding: isRow ? w.paddingWidth : w.paddingHeight,
      dilation: isRow ? w.dilationWidth : w.dilationHeight, inputs: w.channels,
      outputs: outChannels, form: .line(kernel: taps), kernels: kernels)
    let products = form.points * form.parts * tiles
    guard padding <= (taps - 1) * dilation,
      min(source.length, result.length) >= taps * dilation,
      3 * products <= 2 * taps * images * result.imageSize
    else { return nil }
  }

  private init(
    images: Int, source: WinogradAxis, result: WinogradAxis, padding: Int, dilation: Int,
    inputs: Int, outputs: Int, form: WinogradForm, kernels: WinogradKernels
  ) {
    (self.images, self.source, self.result) = (images, source, result)
    (self.padding, self.dilation) = (padding, dilation)
    (self.inputs, self.outputs, self.form, self.kernels) = (inputs, outputs, form, kernels)
  }

  var transposed: WinogradLines {
    WinogradLines(
      images: images, source: result, result: source,
      padding: (form.taps - 1) * dilation - padding, dilation: dilation, inputs: outputs,
      outputs: inputs, form: form, kernels: kernels)
  }

  var transforms: WinogradTransforms { kernels.lines }
  var order: TapOrder? { nil }

  /// Those of a line, with the ones behind it.
  var lineTiles: Int {
    let outputs = (result.length + dilation - 1) / dilation
    return (outputs + form.outputSide - 1) / form.outputSide + form.parts - 1
  }
  var tiles: Int { images * result.across * dilation * lineTiles }

  /// Where a tile begins.
  struct Place {
    /// The first pixels of its line of the source and of the result.
    let source, result: Int
    /// Places along the line of its first pixel, which may be negative, and its first output; how
    /// many pixels and outputs the line has.
    let pixel, output, pixels, outputs: Int
  }

  private func place(_ tile: Int) -> Place {
    let (line, index) = tile.quotientAndRemainder(dividingBy: lineTiles)
    let (row, remainder) = line.quotientAndRemainder(dividingBy: dilation)
    let (image, across) = row.quotientAndRemainder(dividingBy: result.across)
    // Output o of the remainder meets pixels (remainder - padding) + (o + tap) dilation, of which
    // the first may be negative.
    let begin = (remainder - padding % dilation + dilation) % dilation
    let first = (remainder - padding - begin) / dilation
    return Place(
      source: image * source.imageSize + across * source.acrossStep + begin * source.step,
      result: image * result.imageSize + across * result.acrossStep + remainder * result.step,
      pixel: first + index * form.outputSide, output: index * form.outputSide,
      pixels: (source.length - begin + dilation - 1) / dilation,
      outputs: (result.length - remainder + dilation - 1) / dilation)
  }

  /// From a pixel of a line to the next.
  var sourceStep: Int { source.step * dilation }
  var resultStep: Int { result.step * dilation }

  /// Calls `body` with the tiles in `range` of each line, and where they begin.
  func forEachRun(_ range: Range<Int>, _ body: (_ tiles: Range<Int>, Place) -> Void) {
    var first = range.lowerBound
    while first < min(range.upperBound, tiles) {
      let end = min(range.upperBound, (first / lineTiles + 1) * lineTiles)
      body(first..<end, place(first))
      first = end
    }
  }

  func withPatches(
    _ range: Range<Int>, _ x: UnsafePointer<Float>, channels: Int, offset: Int,
    outside: UnsafePointer<Float>, _ body: (WinogradKernels.Sources) -> Void
  ) {
    let (side, step) = (form.outputSide, sourceStep * channels)
    withUnsafeTemporaryAllocation(of: UnsafePointer<Float>.self, capacity: 7 * range.count) {
      rows in
      rows.initialize(repeating: outside)
      forEachRun(range) { tiles, place in
        let first = x + place.source * channels + offset
        for tile in 0..<tiles.count {
          let target = rows.baseAddress! + 7 * (tiles.lowerBound - range.lowerBound + tile)
          let pixel = place.pixel + tile * side
          for i in max(0, -pixel)..<max(0, -pixel, min(7, place.pixels - pixel)) {
            target[i] = first + (pixel + i) * step
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
    let (side, step) = (form.outputSide, resultStep * channels)
    withUnsafeTemporaryAllocation(
      of: UnsafeMutablePointer<Float>.self, capacity: side * range.count
    ) { rows in
      rows.initialize(repeating: outside)
      forEachRun(range) { tiles, place in
        let first = y + place.result * channels + offset
        let target = rows.baseAddress! + side * (tiles.lowerBound - range.lowerBound)
        for i in 0..<max(0, min(side * tiles.count, place.outputs - place.output)) {
          target[i] = first + (place.output + i) * step
        }
      }
      body(UnsafePointer(rows.baseAddress!))
    }
  }

  /// `out` = the numbers of `count` pixels of a line from its pixel `start` on, 0 beyond it.
  func copy(
    _ values: UnsafePointer<Float>, step: Int, start: Int, size: Int, count: Int,
    _ out: UnsafeMutablePointer<Float>
  ) {
    let inside =
      min(count, max(0, -start))..<max(min(count, max(0, -start)), min(count, size - start))
    out.update(repeating: 0, count: inside.lowerBound)
    for i in inside { out[i] = values[(start + i) * step] }
    (out + inside.upperBound).update(repeating: 0, count: count - inside.upperBound)
  }
}
