/// What belongs to a tile of one of Winograd's transforms F(outputs, taps).
struct WinogradForm {
  /// Products of a tile for each part of a filter.
  let points: Int
  /// Pixels that the points of a tile are made of.
  let pixels: Int
  /// Outputs and taps along an axis, and in all.
  let outputSide, tapSide: Int
  let outputs, partTaps: Int
  /// Taps of a filter, and the parts that they are cut into: part q of a tile's outputs sees the
  /// pixels of tile + q. Zeros fill the last part.
  let taps, parts: Int

  /// F(4x4, 3x3) or F(2x2, 5x5).
  static func plane(kernel side: Int) -> WinogradForm {
    WinogradForm(
      points: 36, pixels: 36, outputSide: 7 - side, tapSide: side,
      outputs: (7 - side) * (7 - side), partTaps: side * side, taps: side * side, parts: 1)
  }

  /// F(8 - kernel, kernel) up to five taps, F(4, 4) for each four taps beyond.
  static func line(kernel taps: Int) -> WinogradForm {
    let side = taps <= 5 ? taps : 4
    return WinogradForm(
      points: 7, pixels: 7, outputSide: 8 - side, tapSide: side, outputs: 8 - side,
      partTaps: side, taps: taps, parts: (taps + side - 1) / side)
  }

  /// The pixel that a tap meets at an output, among those of a tile and the `parts - 1` behind it.
  @inline(__always)
  func pixel(_ output: Int, _ tap: Int) -> Int {
    if points == 36 {
      return (output / outputSide + tap / tapSide) * 6 + output % outputSide + tap % tapSide
    }
    let part = min((output + tap) / outputSide, parts - 1)
    return part * pixels + output + tap - part * outputSide
  }
}

/// The tiles of a convolution of stride 1: where they lie, and what they may be rounded by.
protocol WinogradTiles {
  var form: WinogradForm { get }
  var transforms: WinogradTransforms { get }
  var kernels: WinogradKernels { get }
  /// Channels, multiples of `WinogradConvolution.channelStep`.
  var inputs: Int { get }
  var outputs: Int { get }
  var tiles: Int { get }
  /// Those of the convolution from the gradient of the outputs to that of the inputs.
  var transposed: any WinogradTiles { get }

  /// Calls `body` with the rows of channels from `offset` on of the pixels of the tiles in `range`,
  /// [count, pixels]; `outside` stands for those beyond the image.
  func withPatches(
    _ range: Range<Int>, _ x: UnsafePointer<Float>, channels: Int, offset: Int,
    outside: UnsafePointer<Float>, _ body: (WinogradKernels.Sources) -> Void)

  /// Calls `body` with the rows of channels from `offset` on of the outputs of the tiles in
  /// `range`, [count, outputs]; `outside` stands for those beyond the image.
  func withOutputs(
    _ range: Range<Int>, _ y: UnsafeMutablePointer<Float>, channels: Int, offset: Int,
    outside: UnsafeMutablePointer<Float>, _ body: (WinogradKernels.Targets) -> Void)

  /// Taps that some outputs see alone, at least: those at the borders of an image.
  var leastTaps: [[Int]] { get }

  /// Marks the tiles with an output that sees too little of them, and counts the marks.
  ///
  /// - Parameter scratch: room for `markScratchCount`.
  func markUneven(
    _ x: UnsafePointer<Float>, _ weights: WinogradWeights,
    _ isUneven: UnsafeMutablePointer<Bool>, scratch: UnsafeMutablePointer<Float>
  ) -> Int
  var markScratchCount: Int { get }

  /// Whether every tap sees enough of what its tiles hold that points give its gradient.
  func isEven(
    _ x: UnsafePointer<Float>, _ gradient: UnsafePointer<Float>,
    scratch: UnsafeMutablePointer<Float>
  ) -> Bool
  var evenScratchCount: Int { get }
}
