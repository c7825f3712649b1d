import VQKernels

extension Tensor {
  /// Repeats every pixel: `[n, h, w, c]` to `[n, h * scale.0, w * scale.1, c]`.
  ///
  /// - Throws: `VQError` for a wrong rank and a scale below 1.
  public func upsampleNearest2d(scale: (Int, Int)) throws -> Tensor {
    let operation = "upsample_nearest2d"
    try requireFloat(operation)
    guard rank == 4 else {
      throw VQError.shape(operation, [shape], "the input must be [n, h, w, c]")
    }
    guard scale.0 >= 1, scale.1 >= 1 else {
      throw VQError.value(operation, "scale", "\(scale)", "both factors must be at least 1")
    }
    let (height, tall) = shape[1].multipliedReportingOverflow(by: scale.0)
    let (width, wide) = shape[2].multipliedReportingOverflow(by: scale.1)
    guard !tall, !wide else { throw VQError.overflow(operation, shape + [scale.0, scale.1]) }
    let source = shape
    return try Tensor(operation, shape: [shape[0], height, width, shape[3]]) { out in
      guard count > 0 else { return }
      repeatPixels(
        storage.floats, images: source[0], height: source[1], width: source[2], channels: source[3],
        scaleHeight: scale.0, scaleWidth: scale.1, out)
    }.recorded(operation, inputs: [self]) { gradient, _ in
      [
        try Tensor(operation, shape: source) { out in
          guard gradient.count > 0 else { return }
          sumRepeatedPixels(
            gradient.storage.floats, images: source[0], height: source[1], width: source[2],
            channels: source[3], scaleHeight: scale.0, scaleWidth: scale.1, out)
        }
      ]
    }
  }
}
