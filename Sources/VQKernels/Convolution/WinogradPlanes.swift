/// Tiles of images, of F(4x4, 3x3) or F(2x2, 5x5).
struct WinogradPlanes: WinogradAreas {
  let images: Int
  let source, result: (height: Int, width: Int)
  let padding: (height: Int, width: Int)
  let corners: [(row: Int, column: Int)]
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
      images: images, source: (w.height, w.width), result: (w.outHeight, w.outWidth),
      padding: (w.paddingHeight, w.paddingWidth), inputs: w.channels, outputs: outChannels,
      form: .plane(kernel: side), kernels: kernels)
    guard min(w.height, w.width, w.outHeight, w.outWidth) >= side,
      2 * form.points * tiles <= form.taps * images * w.outHeight * w.outWidth
    else { return nil }
  }

  private init(
    images: Int, source: (height: Int, width: Int), result: (height: Int, width: Int),
    padding: (height: Int, width: Int), inputs: Int, outputs: Int, form: WinogradForm,
    kernels: WinogradKernels
  ) {
    (self.images, self.source, self.result) = (images, source, result)
    (self.padding, corners) = (padding, [(-padding.height, -padding.width)])
    (self.inputs, self.outputs, self.form, self.kernels) = (inputs, outputs, form, kernels)
  }

  var transposed: WinogradPlanes {
    let last = form.tapSide - 1
    return WinogradPlanes(
      images: images, source: result, result: source,
      padding: (last - padding.height, last - padding.width), inputs: outputs, outputs: inputs,
      form: form, kernels: kernels)
  }

  var transforms: WinogradTransforms { kernels.planes }
  var order: TapOrder? { nil }
  var sourceStep: Int { 1 }
  var first: (row: Int, column: Int) { (0, 0) }
  var resultStep: Int { 1 }
}
