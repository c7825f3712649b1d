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
  /// Kinds of pixels, of which each meets taps of its own: a tile has `pixels` of each.
  var phases = 1

  /// What sums of a point are over, besides channels.
  var sections: Int { parts * phases }

  /// F(4x4, 3x3) or F(2x2, 5x5).
  static func plane(kernel side: Int) -> WinogradForm {
    WinogradForm(
      points: 36, pixels: 36, outputSide: 7 - side, tapSide: side,
      outputs: (7 - side) * (7 - side), partTaps: side * side, taps: side * side, parts: 1)
  }

  /// F(4x4, 2x2) of each phase.
  static func phases(_ count: Int) -> WinogradForm {
    WinogradForm(
      points: 25, pixels: 25, outputSide: 4, tapSide: 2, outputs: 16, partTaps: 4,
      taps: 4 * count, parts: 1, phases: count)
  }

  /// F(8 - kernel, kernel) up to five taps, F(4, 4) for each four taps beyond.
  static func line(kernel taps: Int) -> WinogradForm {
    let side = taps <= 5 ? taps : 4
    return WinogradForm(
      points: 7, pixels: 7, outputSide: 8 - side, tapSide: side, outputs: 8 - side,
      partTaps: side, taps: taps, parts: (taps + side - 1) / side)
  }

  /// The pixel that a tap meets at an output, among those of a tile and the `parts - 1` behind it,
  /// with pixels of the next phase `phaseStep` further.
  @inline(__always)
  func pixel(_ output: Int, _ tap: Int, phaseStep: Int) -> Int {
    if points > 7 {
      let (phase, place) = tap.quotientAndRemainder(dividingBy: partTaps)
      let row = output / outputSide + place / tapSide
      let column = output % outputSide + place % tapSide
      return phase * phaseStep + row * (outputSide + tapSide - 1) + column
    }
    let part = min((output + tap) / outputSide, parts - 1)
    return part * pixels + output + tap - part * outputSide
  }
}

/// Taps of filters of `count` in the order of a form.
struct TapOrder {
  let places: [Int]
  let count: Int

  /// `out` [filters, places] of `weights` [filters, taps].
  func arrange(
    _ weights: UnsafePointer<Float>, filters: Int, _ out: UnsafeMutablePointer<Float>
  ) {
    places.withUnsafeBufferPointer { places in
      parallelFor(filters, grain: max(1, elementGrain / places.count)) { range in
        for filter in range {
          let (source, target) = (weights + filter * count, out + filter * places.count)
          for (t, place) in places.enumerated() { target[t] = source[place] }
        }
      }
    }
  }
}

/// The tiles of a convolution: where they lie, and what they may be rounded by.
protocol WinogradTiles {
  var form: WinogradForm { get }
  var transforms: WinogradTransforms { get }
  var kernels: WinogradKernels { get }
  /// Channels, multiples of `WinogradConvolution.channelStep`.
  var inputs: Int { get }
  var outputs: Int { get }
  var tiles: Int { get }
  /// The form's taps in a filter; nil for all in their own order.
  var order: TapOrder? { get }

  /// Calls `body` with the rows of channels from `offset` on of the pixels of the tiles in `range`,
  /// [phases, count, pixels]; `outside` stands for those beyond the image.
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
