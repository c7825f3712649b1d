#if VQ_ONEDNN
  import COneDNN
#endif

/// Images that several passes of one convolution read.
final class ConvolutionImages {
  let tensor: Tensor
  #if VQ_ONEDNN
    /// Their copy in the layout that a pass asked for; the next pass that asks for it reads the copy.
    var copy: (layout: dnnl_memory_desc_t, storage: Storage)?
  #endif

  init(_ tensor: Tensor) { self.tensor = tensor.detached() }
}

/// The images that the weight's gradient reads.
struct SavedImages {
  private let value: ConvolutionImages
  private let unchanged: Saved

  init?(_ images: ConvolutionImages, of tensor: Tensor, where isRead: Bool) {
    guard isRead else { return nil }
    value = images
    unchanged = Saved(tensor)
  }

  func images(_ operation: String) throws -> ConvolutionImages {
    _ = try unchanged.tensor(operation)
    return value
  }
}

/// Who computes a convolution. Both give the same to rounding, so each is the other's witness.
enum ConvolutionBackend {
  /// Patches of the input as rows of a matrix, multiplied by OpenBLAS.
  case patches
  #if VQ_ONEDNN
    case oneDNN
    static let standard = ConvolutionBackend.oneDNN
  #else
    static let standard = ConvolutionBackend.patches
  #endif

  /// y = w * x + bias.
  func forward(_ g: ConvolutionGeometry, _ x: ConvolutionImages, _ weight: Tensor, bias: Tensor?)
    throws
    -> Tensor
  {
    guard !g.isEmpty else { return try filled(g.outputShape, bias) }
    switch self {
    case .patches: return try patchForward(g, x.tensor, weight, bias: bias)
    #if VQ_ONEDNN
      case .oneDNN:
        if let result = try winogradForward(g, x.tensor, weight, bias: bias) { return result }
        return try oneDNNForward(g, x, weight, bias: bias)
    #endif
    }
  }

  /// The input's gradient, which is also the transposed convolution; `bias` is added to every pixel.
  func backwardData(
    _ g: ConvolutionGeometry, _ gradient: ConvolutionImages, _ weight: Tensor, bias: Tensor? = nil
  ) throws -> Tensor {
    guard !g.isEmpty else { return try filled(g.inputShape, bias) }
    switch self {
    case .patches: return try patchBackwardData(g, gradient.tensor, weight, bias: bias)
    #if VQ_ONEDNN
      case .oneDNN:
        // The library fills vectors of 16 input channels; with few of them patches measure faster.
        if g.window.channels < 8 {
          return try patchBackwardData(g, gradient.tensor, weight, bias: bias)
        }
        if let result = try winogradBackwardData(g, gradient.tensor, weight, bias: bias) {
          return result
        }
        return try oneDNNBackwardData(g, gradient, weight, bias: bias)
    #endif
    }
  }

  /// Gradients of the weight and, where `bias` says so, of the bias of `forward`.
  func backwardWeights(
    _ g: ConvolutionGeometry, _ x: ConvolutionImages, _ gradient: ConvolutionImages, bias: Bool
  ) throws -> (weight: Tensor, bias: Tensor?) {
    guard !g.isEmpty else {
      return (
        try Tensor.zeros(g.weightShape),
        bias ? try gradient.tensor.summed(to: [g.outChannels]) : nil
      )
    }
    switch self {
    case .patches:
      return (
        try patchBackwardWeights(g, x.tensor, gradient.tensor),
        bias ? try gradient.tensor.summed(to: [g.outChannels]) : nil
      )
    #if VQ_ONEDNN
      case .oneDNN:
        if g.isPointwise {
          return (
            try pointwiseBackwardWeights(g, x.tensor, gradient.tensor),
            bias ? try gradient.tensor.summed(to: [g.outChannels]) : nil
          )
        }
        if let weight = try winogradBackwardWeights(g, x.tensor, gradient.tensor) {
          return (weight, bias ? try gradient.tensor.summed(to: [g.outChannels]) : nil)
        }
        return try oneDNNBackwardWeights(g, x, gradient, bias: bias)
    #endif
    }
  }

  /// Zeros, or the bias at every pixel.
  private func filled(_ shape: [Int], _ bias: Tensor?) throws -> Tensor {
    guard let bias else { return try Tensor.zeros(shape) }
    return try bias.detached().broadcast(to: shape)
  }
}
