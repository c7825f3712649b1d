import VQKernels

extension ConvolutionGeometry {
  fileprivate var winograd: WinogradConvolution? {
    WinogradConvolution(images: images, window: window, outChannels: outChannels)
  }
}

/// The passes of a convolution by Winograd's transform, channels last; nil where it does not apply.
func winogradForward(
  _ g: ConvolutionGeometry, _ x: Tensor, _ weight: Tensor, bias: Tensor?
) throws -> Tensor? {
  guard let convolution = g.winograd else { return nil }
  let threads = threadCount
  let scratch = try Storage(.float32, count: convolution.scratchCount(threads: threads))
  return try Tensor("conv2d", shape: g.outputShape) { out in
    convolution.convolve(
      x.storage.floats, weight.storage.floats, bias: bias.map { UnsafePointer($0.storage.floats) },
      out, scratch: scratch.floats, threads: threads)
  }
}

func winogradBackwardData(
  _ g: ConvolutionGeometry, _ gradient: Tensor, _ weight: Tensor, bias: Tensor?
) throws -> Tensor? {
  guard let convolution = g.winograd else { return nil }
  let threads = threadCount
  let scratch = try Storage(.float32, count: convolution.scratchCount(threads: threads))
  return try Tensor("conv2d", shape: g.inputShape) { out in
    convolution.convolveTransposed(
      gradient.storage.floats, weight.storage.floats,
      bias: bias.map { UnsafePointer($0.storage.floats) }, out, scratch: scratch.floats,
      threads: threads)
  }
}

func winogradBackwardWeights(
  _ g: ConvolutionGeometry, _ x: Tensor, _ gradient: Tensor
) throws -> Tensor? {
  guard let convolution = g.winograd else { return nil }
  let threads = threadCount
  let scratch = try Storage(
    .float32, count: convolution.weightGradientScratchCount(threads: threads))
  return try Tensor("conv2d", shape: g.weightShape) { out in
    convolution.weightGradient(
      x.storage.floats, gradient.storage.floats, out, scratch: scratch.floats, threads: threads)
  }
}
