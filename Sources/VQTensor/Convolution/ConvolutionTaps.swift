import VQKernels

/// The passes of a convolution as sums of products with its taps, channels last.
extension ConvolutionGeometry {
  /// Channels of a group with which these products measure faster than the library's, with AVX2;
  /// for wider vectors it has other kernels.
  private static let leastChannels = InstructionSet.usable == .avx2 ? 32 : Int.max

  /// Whether outputs and gradients of weights are computed so. What few outputs leave unused of a
  /// product costs less than the library's passes.
  var multipliesByTaps: Bool { !isPointwise && window.channels / groups >= Self.leastChannels }

  /// Whether gradients of inputs are.
  var pullsByTaps: Bool { multipliesByTaps && outChannels / groups >= Self.leastChannels }

  private var byTaps: TapConvolution {
    TapConvolution(images: images, window: window, outChannels: outChannels, groups: groups)
  }

  func tapForward(_ x: Tensor, _ weight: Tensor, bias: Tensor?) throws -> Tensor {
    let (convolution, threads) = (byTaps, threadCount)
    let scratch = try Storage(.float32, count: convolution.scratchCount(threads: threads))
    return try Tensor("conv2d", shape: outputShape) { out in
      convolution.convolve(
        x.storage.floats, weight.storage.floats,
        bias: bias.map { UnsafePointer($0.storage.floats) }, out, scratch: scratch.floats,
        threads: threads)
    }
  }

  func tapBackwardData(_ gradient: Tensor, _ weight: Tensor, bias: Tensor?) throws -> Tensor {
    let (convolution, threads) = (byTaps, threadCount)
    let scratch = try Storage(.float32, count: convolution.scratchCount(threads: threads))
    return try Tensor("conv2d", shape: inputShape) { out in
      convolution.convolveTransposed(
        gradient.storage.floats, weight.storage.floats,
        bias: bias.map { UnsafePointer($0.storage.floats) }, out, scratch: scratch.floats,
        threads: threads)
    }
  }

  func tapBackwardWeights(_ x: Tensor, _ gradient: Tensor) throws -> Tensor {
    let convolution = byTaps
    let scratch = try Storage(.float32, count: convolution.weightGradientScratchCount())
    return try Tensor("conv2d", shape: weightShape) { out in
      convolution.weightGradient(
        x.storage.floats, gradient.storage.floats, out, scratch: scratch.floats)
    }
  }
}
