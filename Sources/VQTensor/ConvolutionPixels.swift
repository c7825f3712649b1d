import VQKernels

extension ConvolutionGeometry {
  /// Whether a kernel of one pixel skips pixels or reaches beyond the image: it is pointwise on those
  /// that it meets.
  var samplesPixels: Bool {
    window.kernelHeight == 1 && window.kernelWidth == 1 && !isPointwise
  }

  /// The pointwise convolution of the pixels that the kernel meets.
  var pointwise: ConvolutionGeometry {
    let (height, width) = (window.outHeight, window.outWidth)
    return ConvolutionGeometry(
      images: images, outChannels: outChannels,
      window: Window(
        height: height, width: width, channels: window.channels, outHeight: height,
        outWidth: width, kernel: (1, 1), stride: (1, 1), padding: (0, 0)))
  }

  private var pixelGrain: Int { max(1, elementGrain / window.channels) }

  /// `[n, oh, ow, in]`: the pixels of `x` that the kernel meets, zeros beyond the image.
  func sampledPixels(_ x: Tensor) throws -> Tensor {
    try Tensor("conv2d", shape: pointwise.inputShape) { out in
      parallelFor(outputPixels, grain: pixelGrain) { pixels in
        gatherPatches(
          x.storage.floats, window, pixels: pixels, out + pixels.lowerBound * window.channels)
      }
    }
  }

  /// `[n, h, w, in]`: `pixels` `[n, oh, ow, in]` where `sampledPixels` took them, zeros elsewhere, plus
  /// the bias everywhere.
  func spreadPixels(_ pixels: Tensor, bias: Tensor?) throws -> Tensor {
    let channels = window.channels
    return try Tensor("conv2d", shape: inputShape) { out in
      parallelFor(inputCount / channels, grain: pixelGrain) { range in
        let target = out + range.lowerBound * channels
        if let bias {
          repeatRow(bias.storage.floats, rows: range.count, columns: channels, target)
        } else {
          target.update(repeating: 0, count: range.count * channels)
        }
      }
      // A pixel is met once at most.
      parallelFor(outputPixels, grain: pixelGrain) { range in
        scatterPatches(
          pixels.storage.floats + range.lowerBound * channels, window, pixels: range, out)
      }
    }
  }
}
