/// Tiles of F(4x4, 2x2) for kernels of 4x4 and stride 2. Every second pixel meets every second tap:
/// an output is the sum of four convolutions of 2x2 taps and stride 1, one for each phase of the
/// pixels, and the gradient of each phase of the pixels is one of the outputs' gradient.
struct WinogradPhases: WinogradAreas {
  let images: Int
  let source, result: (height: Int, width: Int)
  /// The first pixel of each phase, which may be negative, and from one to the next.
  let corners: [(row: Int, column: Int)]
  let sourceStep: Int
  /// The first output, and from one to the next.
  let first: (row: Int, column: Int)
  let resultStep: Int
  let padding: (height: Int, width: Int)
  let inputs, outputs: Int
  let form: WinogradForm
  let order: TapOrder?
  let kernels: WinogradKernels

  /// Taps of each phase in their order, and phases, along an axis.
  private static let (side, step) = (2, 2)
  private static var phases: [(row: Int, column: Int)] {
    (0..<step * step).map { ($0 / step, $0 % step) }
  }
  /// The taps of a phase of 4x4 taps.
  private static func taps(_ phase: (row: Int, column: Int)) -> [Int] {
    (0..<side * side).map {
      (phase.row + $0 / side * step) * side * step + phase.column + $0 % side * step
    }
  }

  /// Nil where they do not apply or cost more than the plain convolution.
  init?(images: Int, window w: Window, outChannels: Int, kernels: WinogradKernels) {
    let kernel = Self.side * Self.step
    guard w.kernelHeight == kernel, w.kernelWidth == kernel, w.strideHeight == Self.step,
      w.strideWidth == Self.step, w.dilationHeight == 1, w.dilationWidth == 1,
      w.paddingHeight < kernel, w.paddingWidth < kernel
    else { return nil }
    self.init(
      images: images, source: (w.height, w.width), result: (w.outHeight, w.outWidth),
      corners: Self.phases.map { ($0.row - w.paddingHeight, $0.column - w.paddingWidth) },
      sourceStep: Self.step, first: (0, 0), resultStep: 1,
      padding: (w.paddingHeight, w.paddingWidth), inputs: w.channels, outputs: outChannels,
      order: TapOrder(places: Self.phases.flatMap(Self.taps), count: kernel * kernel),
      kernels: kernels)
    guard min(w.height, w.width) >= kernel, min(w.outHeight, w.outWidth) >= Self.side,
      2 * form.points * form.phases * tiles <= form.taps * images * w.outHeight * w.outWidth
    else { return nil }
  }

  private init(
    images: Int, source: (height: Int, width: Int), result: (height: Int, width: Int),
    corners: [(row: Int, column: Int)], sourceStep: Int, first: (row: Int, column: Int),
    resultStep: Int, padding: (height: Int, width: Int), inputs: Int, outputs: Int,
    order: TapOrder, kernels: WinogradKernels
  ) {
    (self.images, self.source, self.result) = (images, source, result)
    (self.corners, self.sourceStep) = (corners, sourceStep)
    (self.first, self.resultStep, self.padding) = (first, resultStep, padding)
    (self.inputs, self.outputs, self.kernels) = (inputs, outputs, kernels)
    (form, self.order) = (.phases(corners.count), order)
  }

  /// Those from the gradient of the outputs to that of each phase of the inputs. Input
  /// `2 m + p` meets the taps of phase `(p + padding) % 2`, the later one at output
  /// `m + (p + padding) / 2 - 1`.
  var transposed: [WinogradPhases] {
    let step = Self.step
    return Self.phases.map { pixel in
      let (row, column) = (pixel.row + padding.height, pixel.column + padding.width)
      return WinogradPhases(
        images: images, source: result, result: source,
        corners: [(row / step - 1, column / step - 1)], sourceStep: 1, first: pixel,
        resultStep: step, padding: (1, 1), inputs: outputs, outputs: inputs,
        order: TapOrder(places: Self.taps((row % step, column % step)), count: order!.count),
        kernels: kernels)
    }
  }

  var transforms: WinogradTransforms { kernels.phases }
}
