/// A convolution channels last, as sums over the taps of its kernel: the rows of channels that a
/// tap meets, read where they lie, times the tap's matrix.
///
/// An element is summed in the same order for every number of threads.
public struct TapConvolution {
  let images, outChannels, groups: Int
  let window: Window
  let kernels: TapKernels

  public init(
    images: Int, window: Window, outChannels: Int, groups: Int, _ set: InstructionSet = .usable
  ) {
    (self.images, self.outChannels, self.groups) = (images, outChannels, groups)
    self.window = window
    kernels = set == .usable ? .usable : TapKernels(set)
  }

  var taps: Int { window.kernelHeight * window.kernelWidth }
  /// Channels of one group.
  var inputs: Int { window.channels / groups }
  var outputs: Int { outChannels / groups }

  /// Elements that `convolve` and `convolveTransposed` need besides their operands.
  public func scratchCount(threads: Int) -> Int {
    max(
      forward.scratchCount(threads: threads),
      backward.map { $0.scratchCount(threads: threads) }.max() ?? 0)
  }

  /// `out` = the convolution of `x` [images, height, width, channels] with `weights` [out, channels
  /// of a group, kernel], plus `bias` [out] where there is one.
  public func convolve(
    _ x: UnsafePointer<Float>, _ weights: UnsafePointer<Float>, bias: UnsafePointer<Float>?,
    _ out: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>, threads: Int
  ) {
    compute([forward], x, weights, bias, out, scratch, threads)
  }

  /// `out` = the gradient of the inputs from that of the outputs, plus `bias` [channels] where
  /// there is one.
  public func convolveTransposed(
    _ gradient: UnsafePointer<Float>, _ weights: UnsafePointer<Float>,
    bias: UnsafePointer<Float>?, _ out: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutablePointer<Float>, threads: Int
  ) {
    compute(backward, gradient, weights, bias, out, scratch, threads)
  }

  private func compute(
    _ all: [TapProducts], _ source: UnsafePointer<Float>, _ weights: UnsafePointer<Float>,
    _ bias: UnsafePointer<Float>?, _ out: UnsafeMutablePointer<Float>,
    _ scratch: UnsafeMutablePointer<Float>, _ threads: Int
  ) {
    for products in all {
      products.prepare(weights, scratch)
      products.compute(
        source, from: bias.map { .row($0) }, out, scratch: scratch, threads: threads)
    }
  }

  private var forward: TapProducts {
    let (rows, columns) = window.outputAxes
    return TapProducts(
      images: images, rows: rows, columns: columns, resultSize: (window.outHeight, window.outWidth),
      groups: groups, depth: inputs, width: outputs,
      weights: TapWeights(
        kernelWidth: window.kernelWidth, ofSource: taps, ofResult: inputs * taps,
        ofGroup: outputs * inputs * taps), kernels: kernels)
  }

  private var backward: [TapProducts] {
    let (rows, columns) = window.inputAxes
    return rows.flatMap { rows in
      columns.map { columns in
        TapProducts(
          images: images, rows: rows, columns: columns, resultSize: (window.height, window.width),
          groups: groups, depth: outputs, width: inputs,
          weights: TapWeights(
            kernelWidth: window.kernelWidth, ofSource: inputs * taps, ofResult: taps,
            ofGroup: outputs * inputs * taps), kernels: kernels)
      }
    }
  }
}

/// Where weights lie: from one channel of the source, one of the result and one group to the next.
struct TapWeights {
  let kernelWidth, ofSource, ofResult, ofGroup: Int
}
