import CPlatform
import VQKernels

/// Whether convolutions take direct sums alone, and never Winograd's transform.
public var exactConvolutions: Bool {
  get { vq_direct_convolutions() }
  set { vq_set_direct_convolutions(newValue) }
}

extension ConvolutionGeometry {
  fileprivate var winograd: WinogradConvolution? {
    if exactConvolutions { return nil }
    return WinogradConvolution(images: images, window: window, outChannels: outChannels)
  }
}

/// The passes of a convolution by Winograd's transform, channels last; nil where it does not apply or
/// would not give sums as good as direct ones.
func winogradForward(
  _ g: ConvolutionGeometry, _ x: Tensor, _ weight: Tensor, bias: Tensor?
) throws -> Tensor? {
  guard let convolution = g.winograd else { return nil }
  let threads = threadCount
  let scratch = try Storage(.float32, count: convolution.scratchCount(threads: threads))
  var isDone = false
  let result = try Tensor("conv2d", shape: g.outputShape) { out in
    isDone = convolution.convolve(
      x.storage.floats, weight.storage.floats, bias: bias.map { UnsafePointer($0.storage.floats) },
      out, scratch: scratch.floats, threads: threads)
  }
  return isDone ? result : nil
}

func winogradBackwardData(
  _ g: ConvolutionGeometry, _ gradient: Tensor, _ weight: Tensor, bias: Tensor?
) throws -> Tensor? {
  guard let convolution = g.winograd else { return nil }
  let threads = threadCount
  let scratch = try Storage(.float32, count: convolution.scratchCount(threads: threads))
  var isDone = false
  let result = try Tensor("conv2d", shape: g.inputShape) { out in
    isDone = convolution.convolveTransposed(
      gradient.storage.floats, weight.storage.floats,
      bias: bias.map { UnsafePointer($0.storage.floats) }, out, scratch: scratch.floats,
      threads: threads)
  }
  return isDone ? result : nil
}

func winogradBackwardWeights(
  _ g: ConvolutionGeometry, _ x: Tensor, _ gradient: Tensor
) throws -> Tensor? {
  guard let convolution = g.winograd else { return nil }
  let threads = threadCount
  let scratch = try Storage(
    .float32, count: convolution.weightGradientScratchCount(threads: threads))
  var isDone = false
  let result = try Tensor("conv2d", shape: g.weightShape) { out in
    isDone = convolution.weightGradient(
      x.storage.floats, gradient.storage.floats, out, scratch: scratch.floats, threads: threads)
  }
  return isDone ? result : nil
}
