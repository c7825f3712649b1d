import VQKernels

/// Sizes of a convolution from `[images, height, width, channels]` to
/// `[images, out height, out width, outChannels]` with a weight
/// `[outChannels, channels / groups, kernel...]`: a group of output channels sees its own group of
/// input channels.
///
/// A transposed convolution is described by the convolution that it transposes.
struct ConvolutionGeometry: Hashable {
  var images: Int
  var outChannels: Int
  var window: Window
  var groups = 1

  var inputShape: [Int] { [images, window.height, window.width, window.channels] }
  var outputShape: [Int] { [images, window.outHeight, window.outWidth, outChannels] }
  var weightShape: [Int] {
    [outChannels, window.channels / groups, window.kernelHeight, window.kernelWidth]
  }
  var inputCount: Int { images * window.height * window.width * window.channels }
  var outputPixels: Int { images * window.outHeight * window.outWidth }
  var outputCount: Int { outputPixels * outChannels }
  var weightCount: Int { outChannels * (window.patchCount / groups) }

  /// Nothing to multiply: results are zeros, or the bias.
  var isEmpty: Bool { inputCount == 0 || outputCount == 0 || weightCount == 0 }

  /// Output pixels and input pixels coincide: the convolution is a matrix product.
  var isPointwise: Bool {
    window.kernelHeight == 1 && window.kernelWidth == 1 && window.strideHeight == 1
      && window.strideWidth == 1 && window.paddingHeight == 0 && window.paddingWidth == 0
      && groups == 1
  }

  /// Whether outputs may see no pixel: the padding holds a whole kernel, or the elements of a
  /// dilated one stand on both sides of the image.
  var meetsPaddingAlone: Bool {
    window.paddingHeight >= window.extentHeight || window.paddingWidth >= window.extentWidth
      || window.height < window.dilationHeight || window.width < window.dilationWidth
  }

  /// Multiplications and additions of one pass.
  var operations: Double { 2 * Double(outputPixels) * Double(weightCount) }
}

/// The arguments that convolution and pooling share.
struct WindowArguments {
  let operation: String
  var kernel: (Int, Int)
  var stride: (Int, Int)
  var padding: (Int, Int)
  var dilation = (1, 1)

  /// From the first element of the kernel to behind its last one.
  var extent: (Int, Int) {
    ((kernel.0 - 1) * dilation.0 + 1, (kernel.1 - 1) * dilation.1 + 1)
  }

  /// Throws unless stride is positive, padding is not negative and everything is small enough to
  /// add.
  func check() throws {
    guard kernel.0 >= 1, kernel.1 >= 1 else {
      throw VQError.value(operation, "kernel", "\(kernel)", "both sizes must be at least 1")
    }
    guard stride.0 >= 1, stride.1 >= 1 else {
      throw VQError.value(operation, "stride", "\(stride)", "both steps must be at least 1")
    }
    guard padding.0 >= 0, padding.1 >= 0 else {
      throw VQError.value(operation, "padding", "\(padding)", "both sides must be at least 0")
    }
    guard dilation.0 >= 1, dilation.1 >= 1 else {
      throw VQError.value(operation, "dilation", "\(dilation)", "both steps must be at least 1")
    }
    func requireSmall(_ sizes: [Int]) throws {
      guard sizes.allSatisfy({ $0 <= Int(Int32.max) }) else {
        throw VQError.overflow(operation, sizes)
      }
    }
    try requireSmall([kernel.0, kernel.1, stride.0, stride.1, padding.0, padding.1])
    try requireSmall([dilation.0, dilation.1])
    try requireSmall([extent.0, extent.1])
  }

  /// The window that slides over `[n, height, width, channels]`.
  func window(over shape: [Int]) throws -> Window {
    try check()
    try checkAxes(shape)
    let padded = (shape[1] + 2 * padding.0, shape[2] + 2 * padding.1)
    guard extent.0 <= padded.0, extent.1 <= padded.1 else {
      let dilated = dilation == (1, 1) ? "" : ", dilated to \(extent.0)x\(extent.1),"
      throw VQError.shape(
        operation, [shape],
        "the kernel \(kernel.0)x\(kernel.1)\(dilated) exceeds the padded input \(padded.0)x\(padded.1)"
      )
    }
    return Window(
      height: shape[1], width: shape[2], channels: shape[3],
      outHeight: (padded.0 - extent.0) / stride.0 + 1,
      outWidth: (padded.1 - extent.1) / stride.1 + 1,
      kernel: kernel, stride: stride, padding: padding, dilation: step)
  }

  /// The dilation; that of a single element does not matter.
  var step: (Int, Int) { (kernel.0 == 1 ? 1 : dilation.0, kernel.1 == 1 ? 1 : dilation.1) }

  /// Throws unless every axis fits the 32-bit sizes of the libraries underneath.
  func checkAxes(_ shape: [Int]) throws {
    guard shape.allSatisfy({ $0 <= Int(Int32.max) }) else {
      throw VQError.overflow(operation, shape)
    }
  }
}

extension ConvolutionGeometry {
  /// Throws where a product of sizes does not fit.
  func check(_ operation: String) throws {
    _ = try Shape.count(inputShape, operation)
    _ = try Shape.count(outputShape, operation)
    let patch = try Shape.count(
      [window.kernelHeight, window.kernelWidth, window.channels], operation)
    guard patch <= Int(Int32.max) else { throw VQError.overflow(operation, weightShape) }
    _ = try Shape.count([images, window.outHeight, window.outWidth], operation)
  }
}
