import VQKernels

extension Tensor {
  /// Two-dimensional convolution (cross-correlation, as networks call it).
  ///
  /// `[n, h, w, in]` and a weight `[out, in / groups, kernel h, kernel w]` give
  /// `[n, oh, ow, out]`, oh = (h + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1, rounded
  /// down; each of `groups` equal parts of the output channels sees its part of the input
  /// channels. An output is within 2^-17 of the sum of magnitudes of its products, and mostly
  /// eight times nearer; see `exactConvolutions`.
  /// - Throws: `VQError` for ranks, channels or a bias that do not fit, a kernel larger than the
  ///   padded input, and a stride or padding out of range.
  public func conv2d(
    _ weight: Tensor, bias: Tensor? = nil, stride: (Int, Int) = (1, 1),
    padding: (Int, Int) = (0, 0), dilation: (Int, Int) = (1, 1), groups: Int = 1
  ) throws -> Tensor {
    try conv2d(
      weight, bias: bias, stride: stride, padding: padding, dilation: dilation, groups: groups,
      backend: .standard)
  }

  func conv2d(
    _ weight: Tensor, bias: Tensor? = nil, stride: (Int, Int) = (1, 1),
    padding: (Int, Int) = (0, 0), dilation: (Int, Int) = (1, 1), groups: Int = 1,
    backend: ConvolutionBackend
  ) throws -> Tensor {
    let operation = "conv2d"
    try checkImages(operation, weight, bias, inputAxis: 1, groups, layout: "[out, in, h, w]")
    let arguments = WindowArguments(
      operation: operation, kernel: (weight.shape[2], weight.shape[3]), stride: stride,
      padding: padding, dilation: dilation)
    try arguments.checkAxes(weight.shape)
    let g = ConvolutionGeometry(
      images: shape[0], outChannels: weight.shape[0], window: try arguments.window(over: shape),
      groups: groups)
    try g.check(operation)
    if g.window.isColumn {
      let (images, kernel) = try laidDown(weight)
      let row = try images.conv2d(
        kernel, bias: bias, stride: (1, stride.0), padding: (0, padding.0),
        dilation: (1, dilation.0), groups: groups,
        backend: backend)
      return try row.reshape(g.outputShape)
    }

    let w = Saved(weight, where: requiresGrad)
    let x = Saved(self, where: weight.requiresGrad)
    let precision = ProductPrecision.current
    return try backend.forward(g, self, weight, bias: bias, precision).recorded(
      operation, inputs: [self, weight] + (bias.map { [$0] } ?? [])
    ) { gradient, needs in
      let needsBias = needs.count > 2 && needs[2]
      var results = [Tensor?](repeating: nil, count: needs.count)
      if let w {
        results[0] = try backend.backwardData(g, gradient, w.tensor(operation), precision)
      }
      if let x {
        let (weight, bias) = try backend.backwardWeights(
          g, x.tensor(operation), gradient, bias: needsBias, precision)
        results[1] = weight
        if needsBias { results[2] = bias }
      } else if needsBias {
        results[2] = try gradient.summed(to: [g.outChannels])
      }
      return results
    }
  }

  /// Throws unless `self`, `weight` and `bias` are float32 and fit each other. The weight's axis
  /// `inputAxis` (0 or 1) counts input channels, the other one output channels; axis 1 those of a
  /// group.
  func checkImages(
    _ operation: String, _ weight: Tensor, _ bias: Tensor?, inputAxis: Int, _ groups: Int,
    layout: String
  ) throws {
    let all = [self, weight] + (bias.map { [$0] } ?? [])
    guard all.allSatisfy({ $0.dtype == .float32 }) else {
      throw VQError.type(operation, all.map(\.dtype), "float32 is required")
    }
    guard rank == 4 else {
      throw VQError.shape(operation, [shape], "the input must be [n, h, w, c]")
    }
    guard weight.rank == 4 else {
      throw VQError.shape(operation, [shape, weight.shape], "the weight must be \(layout)")
    }
    let (whole, overflow) = weight.shape[1].multipliedReportingOverflow(by: groups)
    guard groups >= 1, !overflow, weight.shape[0] % groups == 0 else {
      throw VQError.value(
        operation, "groups", "\(groups)",
        "must be at least 1 and divide the \(weight.shape[0]) channels of the weight's first axis")
    }
    let wanted = inputAxis == 1 ? whole : weight.shape[0]
    guard shape[3] == wanted else {
      let order =
        shape[1] == wanted
        ? "; images are [n, h, w, c]: permute(0, 2, 3, 1) brings channels last" : ""
      throw VQError.shape(
        operation, [shape, weight.shape],
        "the input has \(shape[3]) channels and the weight expects \(wanted)\(order)")
    }
    let out = inputAxis == 1 ? weight.shape[0] : whole
    if let bias, bias.shape != [out] {
      throw VQError.shape(
        operation, [weight.shape, bias.shape], "the bias must have the shape [\(out)]")
    }
  }

  /// Images of one column, and the kernel that goes along it, as the rows that they are in memory.
  func laidDown(_ weight: Tensor) throws -> (images: Tensor, weight: Tensor) {
    (
      try reshape([shape[0], 1, shape[1], shape[3]]),
      try weight.reshape([weight.shape[0], weight.shape[1], 1, weight.shape[2]])
    )
  }
}
