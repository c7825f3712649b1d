/// The sliding window of convolution and pooling over images `[n, height, width, channels]`.
///
/// Output pixel (y, x) sees the rows `y * strideHeight - paddingHeight + i * dilationHeight` for i
/// in `0..<kernelHeight`, and the columns alike.
public struct Window: Hashable, Sendable {
  public var height, width, channels: Int
  public var outHeight, outWidth: Int
  public var kernelHeight, kernelWidth: Int
  public var strideHeight, strideWidth: Int
  public var paddingHeight, paddingWidth: Int
  public var dilationHeight, dilationWidth: Int

  public init(
    height: Int, width: Int, channels: Int, outHeight: Int, outWidth: Int,
    kernel: (Int, Int), stride: (Int, Int), padding: (Int, Int), dilation: (Int, Int) = (1, 1)
  ) {
    (self.height, self.width, self.channels) = (height, width, channels)
    (self.outHeight, self.outWidth) = (outHeight, outWidth)
    (kernelHeight, kernelWidth) = kernel
    (strideHeight, strideWidth) = stride
    (paddingHeight, paddingWidth) = padding
    (dilationHeight, dilationWidth) = dilation
  }

  /// Rows and columns from the first element of a kernel to behind its last one.
  public var extentHeight: Int { (kernelHeight - 1) * dilationHeight + 1 }
  public var extentWidth: Int { (kernelWidth - 1) * dilationWidth + 1 }

  /// Elements that one output pixel sees: kernel height * kernel width * channels.
  public var patchCount: Int { kernelHeight * kernelWidth * channels }

  /// Whether images and kernel are one pixel wide. In memory they are rows as well, along which the
  /// libraries underneath compute faster.
  public var isColumn: Bool {
    width == 1 && height > 1 && kernelWidth == 1 && paddingWidth == 0 && outWidth == 1
  }

  /// 2x2 windows side by side.
  public var isHalving: Bool {
    kernelHeight == 2 && kernelWidth == 2 && strideHeight == 2 && strideWidth == 2
      && paddingHeight == 0 && paddingWidth == 0
  }

  /// The part of kernel rows that meets the image at output row `y`.
  @inline(__always)
  func kernelRows(_ y: Int) -> Range<Int> {
    Window.overlap(y * strideHeight - paddingHeight, kernelHeight, height, dilationHeight)
  }

  @inline(__always)
  func kernelColumns(_ x: Int) -> Range<Int> {
    Window.overlap(x * strideWidth - paddingWidth, kernelWidth, width, dilationWidth)
  }

  @inline(__always)
  private static func overlap(_ start: Int, _ kernel: Int, _ size: Int, _ dilation: Int) -> Range<
    Int
  > {
    if dilation == 1 {
      let first = min(max(0, -start), kernel)
      return first..<max(first, min(kernel, size - start))
    }
    let first = min(max(0, -start + dilation - 1) / dilation, kernel)
    return first..<max(first, min(kernel, max(0, size - start + dilation - 1) / dilation))
  }
}
