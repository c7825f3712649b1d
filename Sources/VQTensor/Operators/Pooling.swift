import VQKernels

extension Tensor {
  /// Largest element of each window, channel by channel: `[n, h, w, c]` to `[n, oh, ow, c]`, oh =
  /// (h + 2 * padding - kernel) / stride + 1, rounded down. The gradient goes to the first of equal
  /// largest elements; NaN counts as the largest.
  ///
  /// - Parameter stride: the kernel's size if nil.
  /// - Throws: `VQError` for a wrong rank, a padding above half the kernel, a kernel larger than
  ///   the padded input.
  public func maxPool2d(
    kernel: (Int, Int), stride: (Int, Int)? = nil, padding: (Int, Int) = (0, 0)
  ) throws -> Tensor {
    try maxPool2d(kernel, stride, padding, isRectified: false)
  }

  /// `relu().maxPool2d(...)` as one operator: the same bits, and the rectified image is not
  /// stored.
  package func rectifiedMaxPool2d(
    kernel: (Int, Int), stride: (Int, Int)? = nil, padding: (Int, Int) = (0, 0)
  ) throws -> Tensor {
    try maxPool2d(kernel, stride, padding, isRectified: true)
  }

  private func maxPool2d(
    _ kernel: (Int, Int), _ stride: (Int, Int)?, _ padding: (Int, Int), isRectified: Bool
  ) throws -> Tensor {
    let (window, shape) = try poolWindow("max_pool2d", kernel, stride, padding)
    guard count > 0 || shape.contains(0) else {
      throw VQError.empty("max_pool2d", self.shape, "a window must see at least one pixel")
    }
    let (inputShape, images) = (self.shape, self.shape[0])
    let positions = try Storage(.int32, count: Shape.count(shape, "max_pool2d"))
    return try Tensor("max_pool2d", shape: shape) { out in
      maxPool(
        storage.floats, images: images, window, isRectified: isRectified, out,
        positions: positions.ints)
    }.recorded("max_pool2d", inputs: [self]) { gradient, _ in
      [
        try Tensor("max_pool2d", shape: inputShape) { out in
          maxPoolGradient(
            gradient.storage.floats, positions: positions.ints, images: images, window, out)
        }
      ]
    }
  }

  /// Mean of each window, channel by channel: `[n, h, w, c]` to `[n, oh, ow, c]`; the padding
  /// counts as zeros.
  ///
  /// - Parameter stride: the kernel's size if nil.
  /// - Throws: as `maxPool2d`.
  public func averagePool2d(
    kernel: (Int, Int), stride: (Int, Int)? = nil, padding: (Int, Int) = (0, 0)
  ) throws -> Tensor {
    let (window, shape) = try poolWindow("average_pool2d", kernel, stride, padding)
    let (inputShape, images) = (self.shape, self.shape[0])
    return try Tensor("average_pool2d", shape: shape) { out in
      averagePool(storage.floats, images: images, window, out)
    }.recorded("average_pool2d", inputs: [self]) { gradient, _ in
      [
        try Tensor("average_pool2d", shape: inputShape) { out in
          averagePoolGradient(gradient.storage.floats, images: images, window, out)
        }
      ]
    }
  }

  /// `relu().averagePool2d(...)`, as one operator where the windows are 2x2 and side by side: the
  /// same bits, and the rectified image is not stored.
  package func rectifiedAveragePool2d(
    kernel: (Int, Int), stride: (Int, Int)? = nil, padding: (Int, Int) = (0, 0)
  ) throws -> Tensor {
    let operation = "average_pool2d"
    let (window, shape) = try poolWindow(operation, kernel, stride, padding)
    guard window.isHalving else {
      return try relu().averagePool2d(kernel: kernel, stride: stride, padding: padding)
    }
    let (saved, images) = (Saved(self), self.shape[0])
    return try Tensor(operation, shape: shape) { out in
      rectifiedHalving(storage.floats, images: images, window, out)
    }.recorded(operation, inputs: [self]) { gradient, _ in
      let x = try saved.tensor(operation)
      return [
        try Tensor(operation, shape: x.shape) { out in
          rectifiedHalvingGradient(
            gradient.storage.floats, x.storage.floats, images: images, window, out)
        }
      ]
    }
  }

  private func poolWindow(
    _ operation: String, _ kernel: (Int, Int), _ stride: (Int, Int)?, _ padding: (Int, Int)
  ) throws -> (window: Window, shape: [Int]) {
    try requireFloat(operation)
    guard rank == 4 else {
      throw VQError.shape(operation, [shape], "the input must be [n, h, w, c]")
    }
    let window = try WindowArguments(
      operation: operation, kernel: kernel, stride: stride ?? kernel, padding: padding
    ).window(over: shape)
    guard padding.0 <= kernel.0 / 2, padding.1 <= kernel.1 / 2 else {
      throw VQError.value(
        operation, "padding", "\(padding)", "both must be at most half the kernel \(kernel)")
    }
    _ = try Shape.count([kernel.0, kernel.1, shape[3]], operation)
    // Positions inside an image are 32-bit numbers.
    guard window.height * window.width <= Int(Int32.max) else {
      throw VQError.overflow(operation, shape)
    }
    return (window, [shape[0], window.outHeight, window.outWidth, shape[3]])
  }
}
