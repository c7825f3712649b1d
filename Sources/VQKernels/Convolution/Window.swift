/// The sliding window of convolution and pooling over images `[n, height, width, channels]`.
///
/// Output pixel (y, x) sees the rows `y * strideHeight - paddingHeight ..< ... + kernelHeight` and
/// the columns alike.
public struct Window: Hashable, Sendable {
  public var height, width, channels: Int
  public var outHeight, outWidth: Int
  public var kernelHeight, kernelWidth: Int
  public var strideHeight, strideWidth: Int
  public var paddingHeight, paddingWidth: Int

  public init(
    height: Int, width: Int, channels: Int, outHeight: Int, outWidth: Int,
    kernel: (Int, Int), stride: (Int, Int), padding: (Int, Int)
  ) {
    (self.height, self.width, self.channels) = (height, width, channels)
    (self.outHeight, self.outWidth) = (outHeight, outWidth)
    (kernelHeight, kernelWidth) = kernel
    (strideHeight, strideWidth) = stride
    (paddingHeight, paddingWidth) = padding
  }

  /// Elements that one output pixel sees: kernel height * kernel width * channels.
  public var patchCount: Int { kernelHeight * kernelWidth * channels }

  /// 2x2 windows side by side.
  public var isHalving: Bool {
    kernelHeight == 2 && kernelWidth == 2 && strideHeight == 2 && strideWidth == 2
      && paddingHeight == 0 && paddingWidth == 0
  }

  /// The part of kernel rows that meets the image at output row `y`.
  @inline(__always)
  func kernelRows(_ y: Int) -> Range<Int> {
    Window.overlap(y * strideHeight - paddingHeight, kernelHeight, height)
  }

  @inline(__always)
  func kernelColumns(_ x: Int) -> Range<Int> {
    Window.overlap(x * strideWidth - paddingWidth, kernelWidth, width)
  }

  @inline(__always)
  private static func overlap(_ start: Int, _ kernel: Int, _ size: Int) -> Range<Int> {
    let first = min(max(0, -start), kernel)
    return first..<max(first, min(kernel, size - start))
  }
}
