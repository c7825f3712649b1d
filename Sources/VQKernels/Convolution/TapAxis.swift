/// Places of a result along one axis, and what the taps of a kernel meet there: place i stands at
/// `first + i * step` of the result, and its tap t meets `i * stride + offsets[t]` of the source,
/// nothing where that is not in `0..<size`.
struct TapAxis {
  let count, first, step: Int
  let size, stride: Int
  /// Positions in the kernel, and what belongs to them.
  let taps, offsets: [Int]
}

extension Window {
  /// What the outputs see along both axes.
  var outputAxes: (rows: TapAxis, columns: TapAxis) {
    (
      TapAxis(
        count: outHeight, first: 0, step: 1, size: height, stride: strideHeight,
        taps: Array(0..<kernelHeight),
        offsets: (0..<kernelHeight).map { $0 * dilationHeight - paddingHeight }),
      TapAxis(
        count: outWidth, first: 0, step: 1, size: width, stride: strideWidth,
        taps: Array(0..<kernelWidth),
        offsets: (0..<kernelWidth).map { $0 * dilationWidth - paddingWidth })
    )
  }

  /// The outputs that see the inputs: of each remainder of the stride, as it has taps of its own.
  var inputAxes: (rows: [TapAxis], columns: [TapAxis]) {
    (
      Self.inputAxes(
        height, outHeight, kernelHeight, strideHeight, paddingHeight, dilationHeight),
      Self.inputAxes(width, outWidth, kernelWidth, strideWidth, paddingWidth, dilationWidth)
    )
  }

  private static func inputAxes(
    _ size: Int, _ outSize: Int, _ kernel: Int, _ stride: Int, _ padding: Int, _ dilation: Int
  ) -> [TapAxis] {
    (0..<min(stride, size)).map { first in
      // Input i is tap t of output (i + padding - t * dilation) / stride, where that is whole.
      let taps = (0..<kernel).filter { (first + padding - $0 * dilation) % stride == 0 }
      return TapAxis(
        count: (size - first + stride - 1) / stride, first: first, step: stride, size: outSize,
        stride: 1, taps: taps,
        offsets: taps.map { (first + padding - $0 * dilation) / stride })
    }
  }
}
