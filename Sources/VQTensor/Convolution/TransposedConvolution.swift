import VQKernels

extension Tensor {
  /// Transposed two-dimensional convolution: the linear map whose transpose is `conv2d` with the
  /// same weight, stride and padding.
  ///
  /// `[n, h, w, in]` and a weight `[in, out / groups, kernel h, kernel w]` give `[n, oh, ow, out]`,
  /// oh = (h - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1 + outputPadding.
  /// - Throws: `VQError` for ranks, channels or a bias that do not fit, an output of no size, an
  ///   output padding that is not below the stride, and a stride or padding out of range.
  public func convTranspose2d(
    _ weight: Tensor, bias: Tensor? = nil, stride: (Int, Int) = (1, 1),
    padding: (Int, Int) = (0, 0), outputPadding: (Int, Int) = (0, 0),
    dilation: (Int, Int) = (1, 1), groups: Int = 1
  ) throws -> Tensor {
    try convTranspose2d(
      weight, bias: bias, stride: stride, padding: padding, outputPadding: outputPadding,
      dilation: dilation, groups: groups, backend: .standard)
  }

  func convTranspose2d(
    _ weight: Tensor, bias: Tensor? = nil, stride: (Int, Int) = (1, 1),
    padding: (Int, Int) = (0, 0), outputPadding: (Int, Int) = (0, 0),
    dilation: (Int, Int) = (1, 1), groups: Int = 1, backend: ConvolutionBackend
  ) throws -> Tensor {
    let operation = "conv_transpose2d"
    try checkImages(operation, weight, bias, inputAxis: 0, groups, layout: "[in, out, h, w]")
    let arguments = WindowArguments(
      operation: operation, kernel: (weight.shape[2], weight.shape[3]), stride: stride,
      padding: padding, dilation: dilation)
    let g = try transposedGeometry(arguments, weight, outputPadding, groups)
    if g.window.isColumn {
      let (images, kernel) = try laidDown(weight)
      let row = try images.convTranspose2d(
        kernel, bias: bias, stride: (1, stride.0), padding: (0, padding.0),
        outputPadding: (0, outputPadding.0),
        dilation: (1, dilation.0), groups: groups, backend: backend)
      return try row.reshape(g.inputShape)
    }

    let w = Saved(weight, where: requiresGrad)
    let x = Saved(self, where: weight.requiresGrad)
    let precision = ProductPrecision.current
    return try backend.backwardData(g, self, weight, bias: bias, precision).recorded(
      operation, inputs: [self, weight] + (bias.map { [$0] } ?? [])
    ) { gradient, needs in
      var results = [Tensor?](repeating: nil, count: needs.count)
      if let w {
        results[0] = try backend.forward(
          g, gradient, w.tensor(operation), bias: nil, precision)
      }
      if let x {
        results[1] = try backend.backwardWeights(
          g, gradient, x.tensor(operation), bias: false, precision
        ).weight
      }
      if needs.count > 2, needs[2] { results[2] = try gradient.summed(to: [g.window.channels]) }
      return results
    }
  }

  /// The convolution from this operation's output to its input.
  private func transposedGeometry(
    _ arguments: WindowArguments, _ weight: Tensor, _ outputPadding: (Int, Int), _ groups: Int
  ) throws -> ConvolutionGeometry {
    let operation = arguments.operation
    let (stride, padding) = (arguments.stride, arguments.padding)
    try arguments.check()
    try arguments.checkAxes(shape)
    try arguments.checkAxes(weight.shape)
    guard outputPadding.0 >= 0, outputPadding.1 >= 0, outputPadding.0 < stride.0,
      outputPadding.1 < stride.1
    else {
      throw VQError.value(
        operation, "output_padding", "\(outputPadding)",
        "both must be at least 0 and below the stride \(stride)")
    }
    guard shape[1] >= 1, shape[2] >= 1 else {
      throw VQError.shape(operation, [shape], "height and width must be at least 1")
    }
    let extent = arguments.extent
    let height = (shape[1] - 1) * stride.0 - 2 * padding.0 + extent.0 + outputPadding.0
    let width = (shape[2] - 1) * stride.1 - 2 * padding.1 + extent.1 + outputPadding.1
    guard height >= 1, width >= 1 else {
      throw VQError.shape(
        operation, [shape, weight.shape],
        "the output would be \(height)x\(width), both must be at least 1")
    }
    try arguments.checkAxes([height, width])
    let g = ConvolutionGeometry(
      images: shape[0], outChannels: weight.shape[0],
      window: Window(
        height: height, width: width, channels: weight.shape[1] * groups, outHeight: shape[1],
        outWidth: shape[2], kernel: arguments.kernel, stride: stride, padding: padding,
        dilation: arguments.step), groups: groups)
    try g.check(operation)
    return g
  }
}
