/// The passes of a convolution with operands in a precision; results, biases and their gradients
/// are float32.
extension ConvolutionBackend {
  func forward(
    _ g: ConvolutionGeometry, _ x: Tensor, _ weight: Tensor, bias: Tensor?,
    _ precision: ProductPrecision
  ) throws -> Tensor {
    #if VQ_ONEDNN
      if g.isNative(precision) { return try oneDNNForward(g, x, weight, bias: bias, .bfloat16) }
    #endif
    return try forward(
      g, precision.operand(x, of: "conv2d"), precision.operand(weight, of: "conv2d"), bias: bias)
  }

  func backwardData(
    _ g: ConvolutionGeometry, _ gradient: Tensor, _ weight: Tensor, bias: Tensor? = nil,
    _ precision: ProductPrecision
  ) throws -> Tensor {
    #if VQ_ONEDNN
      if g.isNative(precision) {
        return try oneDNNBackwardData(g, gradient, weight, bias: bias, .bfloat16)
      }
    #endif
    return try backwardData(
      g, precision.operand(gradient, of: "conv2d"), precision.operand(weight, of: "conv2d"),
      bias: bias)
  }

  func backwardWeights(
    _ g: ConvolutionGeometry, _ x: Tensor, _ gradient: Tensor, bias: Bool,
    _ precision: ProductPrecision
  ) throws -> (weight: Tensor, bias: Tensor?) {
    if precision == .float32 { return try backwardWeights(g, x, gradient, bias: bias) }
    let summed = bias ? try gradient.summed(to: [g.outChannels]) : nil
    #if VQ_ONEDNN
      if g.isNative(precision) {
        return (try oneDNNBackwardWeights(g, x, gradient, bias: false, .bfloat16).weight, summed)
      }
    #endif
    let weight = try backwardWeights(
      g, precision.operand(x, of: "conv2d"), precision.operand(gradient, of: "conv2d"),
      bias: false
    ).weight
    return (weight, summed)
  }
}

extension ConvolutionGeometry {
  /// Whether oneDNN takes the passes in bfloat16: of other channels it has no fast one.
  fileprivate func isNative(_ precision: ProductPrecision) -> Bool {
    !isEmpty && !meetsPaddingAlone && groups == 1 && window.channels % 16 == 0
      && outChannels % 16 == 0 && precision.isNative(operations / 2)
  }
}
