import CPlatform
import VQKernels

/// Whether convolutions take direct sums alone, and never Winograd's transform.
public var exactConvolutions: Bool {
  get { vq_direct_convolutions() }
  set { vq_set_direct_convolutions(newValue) }
}

extension ConvolutionGeometry {
  /// A tensor of `shape` that `fill` writes with scratch memory; nil where Winograd's transform
  /// does not apply, or `fill` says that it would not give sums as good as direct ones.
  fileprivate func byWinograd(
    _ shape: [Int], scratch count: (WinogradConvolution, _ threads: Int) -> Int,
    _ fill: (
      WinogradConvolution, UnsafeMutablePointer<Float>, _ scratch: UnsafeMutablePointer<Float>,
      _ threads: Int
    ) -> Bool
  ) throws -> Tensor? {
    if exactConvolutions || groups > 1 { return nil }
    guard
      let convolution = WinogradConvolution(
        images: images, window: window, outChannels: outChannels)
    else { return nil }
    let threads = threadCount
    let scratch = try Storage(.float32, count: count(convolution, threads))
    var isDone = false
    let result = try Tensor("conv2d", shape: shape) { out in
      isDone = fill(convolution, out, scratch.floats, threads)
    }
    return isDone ? result : nil
  }
}

/// The passes of a convolution by Winograd's transform, channels last; nil as `byWinograd`.
func winogradForward(
  _ g: ConvolutionGeometry, _ x: Tensor, _ weight: Tensor, bias: Tensor?
) throws -> Tensor? {
  try g.byWinograd(g.outputShape, scratch: { $0.scratchCount(threads: $1) }) {
    $0.convolve(
      x.storage.floats, weight.storage.floats, bias: bias.map { UnsafePointer($0.storage.floats) },
      $1, scratch: $2, threads: $3)
  }
}

func winogradBackwardData(
  _ g: ConvolutionGeometry, _ gradient: Tensor, _ weight: Tensor, bias: Tensor?
) throws -> Tensor? {
  try g.byWinograd(g.inputShape, scratch: { $0.scratchCount(threads: $1) }) {
    $0.convolveTransposed(
      gradient.storage.floats, weight.storage.floats,
      bias: bias.map { UnsafePointer($0.storage.floats) }, $1, scratch: $2, threads: $3)
  }
}

func winogradBackwardWeights(
  _ g: ConvolutionGeometry, _ x: Tensor, _ gradient: Tensor
) throws -> Tensor? {
  try g.byWinograd(g.weightShape, scratch: { $0.weightGradientScratchCount(threads: $1) }) {
    $0.weightGradient(
      x.storage.floats, gradient.storage.floats, $1, scratch: $2, threads: $3)
  }
}
