import VQKernels

/// Who computes a convolution. Both give the same to rounding, so each is the other's witness.
enum ConvolutionBackend {
  /// Patches of the input as rows of a matrix, multiplied by OpenBLAS.
  case patches
  /// Our kernels where they are faster than oneDNN; it computes the others, or patches without it.
  case fastest

  static let standard = ConvolutionBackend.fastest

  /// y = w * x + bias.
  func forward(_ g: ConvolutionGeometry, _ x: Tensor, _ weight: Tensor, bias: Tensor?)
    throws
    -> Tensor
  {
    guard !g.isEmpty else { return try filled(g.outputShape, bias) }
    if self == .patches {
      return try g.imagesOfGroups(x, weight, bias: bias) {
        try patchForward($0, $1, $2, bias: $3)
      }
    }
    if g.samplesPixels {
      let pixels = try g.sampledPixels(x)
      return try forward(g.pointwise, pixels, weight, bias: bias)
    }
    if !g.meetsPaddingAlone {
      if let result = try winogradForward(g, x, weight, bias: bias) { return result }
      if g.multipliesByTaps { return try g.tapForward(x, weight, bias: bias) }
      #if VQ_ONEDNN
        return try oneDNNForward(g, x, weight, bias: bias)
      #endif
    }
    return try ConvolutionBackend.patches.forward(g, x, weight, bias: bias)
  }

  /// The input's gradient, which is also the transposed convolution; `bias` is added to every
  /// pixel.
  func backwardData(
    _ g: ConvolutionGeometry, _ gradient: Tensor, _ weight: Tensor, bias: Tensor? = nil
  ) throws -> Tensor {
    guard !g.isEmpty else { return try filled(g.inputShape, bias) }
    if self == .patches {
      return try g.imagesOfGroups(gradient, weight, bias: bias) {
        try patchBackwardData($0, $1, $2, bias: $3)
      }
    }
    if g.samplesPixels {
      let pixels = try backwardData(g.pointwise, gradient, weight)
      return try g.spreadPixels(pixels, bias: bias)
    }
    // oneDNN fills vectors of 16 input channels; with few of them patches measure faster.
    if !(g.groups == 1 && g.window.channels < 8 || g.meetsPaddingAlone) {
      if let result = try winogradBackwardData(g, gradient, weight, bias: bias) {
        return result
      }
      if g.pullsByTaps { return try g.tapBackwardData(gradient, weight, bias: bias) }
      #if VQ_ONEDNN
        return try oneDNNBackwardData(g, gradient, weight, bias: bias)
      #endif
    }
    return try ConvolutionBackend.patches.backwardData(g, gradient, weight, bias: bias)
  }

  /// Gradients of the weight and, where `bias` says so, of the bias of `forward`.
  func backwardWeights(
    _ g: ConvolutionGeometry, _ x: Tensor, _ gradient: Tensor, bias: Bool
  ) throws -> (weight: Tensor, bias: Tensor?) {
    guard !g.isEmpty else {
      return (try Tensor.zeros(g.weightShape), try biasGradient(g, gradient, bias))
    }
    if self == .patches {
      return (
        try g.weightsOfGroups(x, gradient) { try patchBackwardWeights($0, $1, $2) },
        try biasGradient(g, gradient, bias)
      )
    }
    if g.samplesPixels {
      let pixels = try g.sampledPixels(x)
      return try backwardWeights(g.pointwise, pixels, gradient, bias: bias)
    }
    if !g.meetsPaddingAlone {
      if g.isPointwise {
        return (
          try pointwiseBackwardWeights(g, x, gradient), try biasGradient(g, gradient, bias)
        )
      }
      if let weight = try winogradBackwardWeights(g, x, gradient) {
        return (weight, try biasGradient(g, gradient, bias))
      }
      // Where rows are padded, zeros meet what is in the other operand.
      if g.multipliesByTaps, isFinite(x), isFinite(gradient) {
        return (try g.tapBackwardWeights(x, gradient), try biasGradient(g, gradient, bias))
      }
      #if VQ_ONEDNN
        return try oneDNNBackwardWeights(g, x, gradient, bias: bias)
      #endif
    }
    return try ConvolutionBackend.patches.backwardWeights(g, x, gradient, bias: bias)
  }

  /// The weight gradient of a pointwise convolution as one product, gradient^T x: three times as
  /// fast as oneDNN's own primitive at 64 channels of 128 8x8 images.
  private func pointwiseBackwardWeights(
    _ g: ConvolutionGeometry, _ x: Tensor, _ gradient: Tensor
  ) throws -> Tensor {
    try Tensor("conv2d", shape: g.weightShape) { out in
      try gemmOfColumns(
        m: g.outChannels, n: g.window.channels, k: g.outputPixels, gradient.storage.floats,
        x.storage.floats, out)
    }
  }

  private func biasGradient(
    _ g: ConvolutionGeometry, _ gradient: Tensor, _ isWanted: Bool
  ) throws -> Tensor? { isWanted ? try gradient.summed(to: [g.outChannels]) : nil }

  /// Zeros, or the bias at every pixel.
  private func filled(_ shape: [Int], _ bias: Tensor?) throws -> Tensor {
    guard let bias else { return try Tensor.zeros(shape) }
    return try bias.detached().broadcast(to: shape)
  }
}

private func isFinite(_ tensor: Tensor) -> Bool {
  tensor.read { firstNonFiniteElement($0, count: tensor.count) == nil }
}
