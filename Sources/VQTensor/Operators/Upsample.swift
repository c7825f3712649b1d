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
    let target = [shape[0], height, width, shape[3]]
    _ = try Shape.count(target, operation)
    func map(_ size: Int, _ scale: Int) throws -> AxisMap? {
      count == 0 || scale == 1 ? nil : try .repeating(operation, size, scale)
    }
    return try resampled(
      operation, images: shape, rows: map(shape[1], scale.0), columns: map(shape[2], scale.1),
      shape: target)
  }
}
