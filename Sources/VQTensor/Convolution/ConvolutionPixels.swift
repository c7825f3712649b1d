import VQKernels

extension ConvolutionGeometry {
  /// Whether a kernel of one pixel skips pixels or reaches beyond the image: it is pointwise on
  /// those that it meets.
  var samplesPixels: Bool {
    window.kernelHeight == 1 && window.kernelWidth == 1
      && (window.strideHeight > 1 || window.strideWidth > 1 || window.paddingHeight > 0
        || window.paddingWidth > 0)
  }

  /// The pointwise convolution of the pixels that the kernel meets.
  var pointwise: ConvolutionGeometry {
    let (height, width) = (window.outHeight, window.outWidth)
    return ConvolutionGeometry(
      images: images, outChannels: outChannels,
      window: Window(
        height: height, width: width, channels: window.channels, outHeight: height,
        outWidth: width, kernel: (1, 1), stride: (1, 1), padding: (0, 0)), groups: groups)
  }

  /// `[n, oh, ow, in]`: the pixels of `x` that the kernel meets, zeros beyond the image.
  func sampledPixels(_ x: Tensor) throws -> Tensor {
    try Tensor("conv2d", shape: pointwise.inputShape) { out in
      samplePixels(x.storage.floats, window, images: images, out)
    }
  }

  /// `[n, h, w, in]`: `pixels` `[n, oh, ow, in]` where `sampledPixels` took them, zeros elsewhere,
  /// plus the bias everywhere.
  func spreadPixels(_ pixels: Tensor, bias: Tensor?) throws -> Tensor {
    try Tensor("conv2d", shape: inputShape) { out in
      spreadSamples(
        pixels.storage.floats, window, images: images,
        bias: bias.map { UnsafePointer($0.storage.floats) }, out)
    }
  }
}
