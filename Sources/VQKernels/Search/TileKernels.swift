import CPlatform
import VQTiles

#if arch(x86_64)
  import VQTilesAVX2
  import VQTilesAVX512
  import VQTilesBF16
  import VQTilesVNNI
#endif

/// Instruction sets that the tile kernels are compiled for, each with those before it.
public enum InstructionSet: Int, CaseIterable, Sendable {
  case portable, avx2, avx512, avx512vnni, avx512bf16

  /// The highest that this CPU runs, or the lower one that `VQSWIFT_INSTRUCTIONS` names.
  public static let usable = InstructionSet(rawValue: Int(vq_usable_instruction_set().rawValue))!

  public var name: String {
    String(cString: vq_instruction_set_name(vq_instruction_set(UInt32(rawValue))))
  }
}

/// The tile kernels of one instruction set; the functions are documented where they stand, in
/// `VQTiles`.
struct TileKernels {
  let panelPoints: Int
  let tileCodes: Int
  let scanTiles:
    (
      UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>, Int, Int,
      UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>
    ) -> Void
  let selectTiles:
    (
      UnsafePointer<Float>, Int, UnsafePointer<Float>, UnsafePointer<Float>,
      UnsafeMutablePointer<Float>, UnsafeMutablePointer<Int32>, UnsafeMutablePointer<Int32>
    ) -> Int
  let boundMargins:
    (
      UnsafePointer<Float>, UnsafePointer<Float>, Int, UnsafePointer<Float>,
      UnsafeMutablePointer<Float>
    ) -> Void
  let scoreTile:
    (
      UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>, Int,
      UnsafeMutablePointer<Float>
    ) -> Void
  let decideCodes:
    (
      UnsafePointer<Float>, Int, UnsafePointer<Float>, UnsafePointer<Float>, Int,
      UnsafePointer<Int32>, UnsafePointer<Int32>, UnsafePointer<Float>, UnsafeMutablePointer<Int32>
    ) -> Void
  let centerRows:
    (
      UnsafePointer<Float>, Int, UnsafePointer<Float>, Int, Float, UnsafeMutablePointer<Float>,
      UnsafeMutablePointer<Float>
    ) -> Void
  let packPanel: (UnsafePointer<Float>, Int, Int, UnsafeMutablePointer<Float>) -> Void
  let nearestExactly:
    (
      UnsafePointer<Double>, UnsafePointer<Double>, Int, Int, Int32, UnsafeMutablePointer<Double>,
      UnsafeMutablePointer<Int32>
    ) -> Void
  let distancesExactly:
    (
      UnsafePointer<Double>, UnsafePointer<Double>, Int, Int, UnsafeMutablePointer<Double>, Int
    ) -> Void
  let float64TileCodes: Int
  let float64Scores:
    (
      UnsafePointer<Double>, UnsafePointer<Double>, UnsafePointer<Double>, Int, Int,
      UnsafeMutablePointer<Double>, Int, UnsafeMutablePointer<Double>
    ) -> Void
  let placesUpTo: (Double, UnsafePointer<Double>, Int, UnsafeMutablePointer<Int32>, Int) -> Int
  let directFloats:
    (
      UnsafePointer<Float>, UnsafePointer<Float>, Int, Int, Float, UnsafeMutablePointer<Float>
    ) -> Void
  let directDoubles:
    (
      UnsafePointer<Double>, UnsafePointer<Double>, Int, Int, Double, UnsafeMutablePointer<Double>
    ) -> Void
  private(set) var pairs: PairKernels?

  static let usable = TileKernels(.usable)
}

/// The screen on pairs of two bytes each, in bfloat16 or int16.
struct PairKernels {
  /// Largest length of a scaled row; nil where rows need no scale.
  let longest: Float?
  let scanTiles:
    (
      UnsafePointer<Int32>, UnsafePointer<Int32>, UnsafePointer<Float>, UnsafePointer<Float>, Int,
      Int, UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>
    ) -> Void
  let round:
    (
      UnsafePointer<Float>, Int, Int, UnsafePointer<Float>, UnsafeMutablePointer<Int32>, Int, Int,
      UnsafeMutablePointer<Float>
    ) -> Void

  /// Rounding adds up to half an element to each, 181 to the length of 2^17 of them.
  static let longestShorts: Float = 32500

  /// The power of two that brings a row of at most `length` to at most `longest`.
  @inline(__always)
  func scale(_ length: Float) -> Float {
    guard let longest else { return 1 }
    let most = min(max(longest / length, 0x1p-100), 0x1p100)
    return Float(bitPattern: most.bitPattern & 0x7F80_0000)
  }
}

extension TileKernels: VectorKernels {
  static let portable = TileKernels(
    panelPoints: VQTiles.panelPoints,
    tileCodes: VQTiles.tileCodes,
    scanTiles: VQTiles.scanTiles(_:_:_:width:count:_:_:),
    selectTiles: VQTiles.selectTiles(_:count:_:_:_:_:_:),
    boundMargins: VQTiles.boundMargins(_:_:count:_:_:),
    scoreTile: VQTiles.scoreTile(_:_:_:width:_:),
    decideCodes: VQTiles.decideCodes(_:count:_:_:width:_:_:_:_:),
    centerRows: VQTiles.centerRows(_:count:_:width:scale:_:_:),
    packPanel: VQTiles.packPanel(_:count:width:_:),
    nearestExactly: VQTiles.nearestExactly(_:_:width:count:first:_:_:),
    distancesExactly: VQTiles.distancesExactly(_:_:width:count:_:stride:),
    float64TileCodes: VQTiles.float64TileCodes,
    float64Scores: VQTiles.float64Scores(_:_:_:width:count:_:stride:_:),
    placesUpTo: VQTiles.placesUpTo(_:_:count:_:room:),
    directFloats: VQTiles.directDistances(_:_:count:width:scale:_:),
    directDoubles: VQTiles.directDistances(_:_:count:width:scale:_:),
    pairs: nil)

  #if arch(x86_64)
    static let avx2 = TileKernels(
      panelPoints: VQTilesAVX2.panelPoints,
      tileCodes: VQTilesAVX2.tileCodes,
      scanTiles: VQTilesAVX2.scanTiles(_:_:_:width:count:_:_:),
      selectTiles: VQTilesAVX2.selectTiles(_:count:_:_:_:_:_:),
      boundMargins: VQTilesAVX2.boundMargins(_:_:count:_:_:),
      scoreTile: VQTilesAVX2.scoreTile(_:_:_:width:_:),
      decideCodes: VQTilesAVX2.decideCodes(_:count:_:_:width:_:_:_:_:),
      centerRows: VQTilesAVX2.centerRows(_:count:_:width:scale:_:_:),
      packPanel: VQTilesAVX2.packPanel(_:count:width:_:),
      nearestExactly: VQTilesAVX2.nearestExactly(_:_:width:count:first:_:_:),
      distancesExactly: VQTilesAVX2.distancesExactly(_:_:width:count:_:stride:),
      float64TileCodes: VQTilesAVX2.float64TileCodes,
      float64Scores: VQTilesAVX2.float64Scores(_:_:_:width:count:_:stride:_:),
      placesUpTo: VQTilesAVX2.placesUpTo(_:_:count:_:room:),
      directFloats: VQTilesAVX2.directDistances(_:_:count:width:scale:_:),
      directDoubles: VQTilesAVX2.directDistances(_:_:count:width:scale:_:),
      pairs: PairKernels(
        longest: PairKernels.longestShorts,
        scanTiles: VQTilesAVX2.scanShortTiles(_:_:_:_:pairs:count:_:_:),
        round: VQTilesAVX2.roundToShorts(_:count:width:_:_:rowStride:pairStride:_:)))
    static let avx512 = TileKernels(
      panelPoints: VQTilesAVX512.panelPoints,
      tileCodes: VQTilesAVX512.tileCodes,
      scanTiles: VQTilesAVX512.scanTiles(_:_:_:width:count:_:_:),
      selectTiles: VQTilesAVX512.selectTiles(_:count:_:_:_:_:_:),
      boundMargins: VQTilesAVX512.boundMargins(_:_:count:_:_:),
      scoreTile: VQTilesAVX512.scoreTile(_:_:_:width:_:),
      decideCodes: VQTilesAVX512.decideCodes(_:count:_:_:width:_:_:_:_:),
      centerRows: VQTilesAVX512.centerRows(_:count:_:width:scale:_:_:),
      packPanel: VQTilesAVX512.packPanel(_:count:width:_:),
      nearestExactly: VQTilesAVX512.nearestExactly(_:_:width:count:first:_:_:),
      distancesExactly: VQTilesAVX512.distancesExactly(_:_:width:count:_:stride:),
      float64TileCodes: VQTilesAVX512.float64TileCodes,
      float64Scores: VQTilesAVX512.float64Scores(_:_:_:width:count:_:stride:_:),
      placesUpTo: VQTilesAVX512.placesUpTo(_:_:count:_:room:),
      directFloats: VQTilesAVX512.directDistances(_:_:count:width:scale:_:),
      directDoubles: VQTilesAVX512.directDistances(_:_:count:width:scale:_:),
      pairs: nil)
    static let avx512vnni = {
      var kernels = avx512
      kernels.pairs = PairKernels(
        longest: PairKernels.longestShorts,
        scanTiles: VQTilesVNNI.scanShortTiles(_:_:_:_:pairs:count:_:_:),
        round: VQTilesVNNI.roundToShorts(_:count:width:_:_:rowStride:pairStride:_:))
      return kernels
    }()
    static let avx512bf16 = TileKernels(
      panelPoints: VQTilesBF16.panelPoints,
      tileCodes: VQTilesBF16.tileCodes,
      scanTiles: VQTilesBF16.scanTiles(_:_:_:width:count:_:_:),
      selectTiles: VQTilesBF16.selectTiles(_:count:_:_:_:_:_:),
      boundMargins: VQTilesBF16.boundMargins(_:_:count:_:_:),
      scoreTile: VQTilesBF16.scoreTile(_:_:_:width:_:),
      decideCodes: VQTilesBF16.decideCodes(_:count:_:_:width:_:_:_:_:),
      centerRows: VQTilesBF16.centerRows(_:count:_:width:scale:_:_:),
      packPanel: VQTilesBF16.packPanel(_:count:width:_:),
      nearestExactly: VQTilesBF16.nearestExactly(_:_:width:count:first:_:_:),
      distancesExactly: VQTilesBF16.distancesExactly(_:_:width:count:_:stride:),
      float64TileCodes: VQTilesBF16.float64TileCodes,
      float64Scores: VQTilesBF16.float64Scores(_:_:_:width:count:_:stride:_:),
      placesUpTo: VQTilesBF16.placesUpTo(_:_:count:_:room:),
      directFloats: VQTilesBF16.directDistances(_:_:count:width:scale:_:),
      directDoubles: VQTilesBF16.directDistances(_:_:count:width:scale:_:),
      pairs: PairKernels(
        longest: nil,
        scanTiles: { panel, tiles, starts, _, pairs, count, maxima, best in
          VQTilesBF16.scanPairTiles(panel, tiles, starts, pairs: pairs, count: count, maxima, best)
        },
        round: { rows, count, d, _, out, rowStride, pairStride, squares in
          VQTilesBF16.roundToPairs(
            rows, count: count, width: d, out, rowStride: rowStride, pairStride: pairStride, squares
          )
        }))
  #endif
}
