import VQTiles

#if arch(x86_64)
  import VQTilesAVX2
  import VQTilesAVX512
  import VQTilesVNNI
#endif

/// The kernels of a search by groups of codes, of one instruction set; the functions are documented
/// where they stand, in `VQTiles`.
struct GroupKernels {
  let tileCodes: Int
  let scanTile:
    (
      UnsafePointer<Float>, UnsafePointer<Int32>, Int, UnsafePointer<Float>, UnsafePointer<Float>,
      Int, UnsafeMutablePointer<Float>, Int
    ) -> Void
  let scoreTile:
    (
      UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>, Int,
      UnsafeMutablePointer<Float>
    ) -> Void
  let needGroups:
    (
      UnsafePointer<Float>, Int, UnsafePointer<Int32>, UnsafePointer<Float>, Int, Float, Float,
      UnsafePointer<Float>, UnsafePointer<Float>, Int, UnsafeMutablePointer<Float>,
      UnsafeMutablePointer<Int32>, Int, UnsafeMutablePointer<Int32>
    ) -> Void
  let boundGroups:
    (
      UnsafePointer<Float>, Int, Float, UnsafePointer<Float>, Int, Float,
      UnsafeMutablePointer<Float>
    ) -> Void
  let nearMaxima: (UnsafePointer<Float>, Int, Float, Float, UnsafeMutablePointer<Int32>) -> Int
  /// `scanTile` on int16 pairs.
  private(set) var scanShorts:
    (
      (
        UnsafePointer<Int32>, UnsafePointer<Int32>, Int, UnsafePointer<Int32>,
        UnsafePointer<Float>, UnsafePointer<Float>, Int, UnsafeMutablePointer<Float>, Int
      ) -> Void
    )?

  static let usable = GroupKernels(.usable)
}

extension GroupKernels: VectorKernels {
  static let portable = GroupKernels(
    tileCodes: VQTiles.groupTileCodes,
    scanTile: VQTiles.scanGroupTile(_:_:count:_:_:width:_:stride:),
    scoreTile: VQTiles.scoreGroupTile(_:_:_:width:_:),
    needGroups: VQTiles.needGroups(
      _:count:_:_:width:slack:least:_:_:groups:_:_:room:_:),
    boundGroups: VQTiles.boundGroups(_:tiles:square:_:groups:keep:_:),
    nearMaxima: VQTiles.nearMaxima(_:count:margin:floor:_:))

  #if arch(x86_64)
    static let avx2 = GroupKernels(
      tileCodes: VQTilesAVX2.groupTileCodes,
      scanTile: VQTilesAVX2.scanGroupTile(_:_:count:_:_:width:_:stride:),
      scoreTile: VQTilesAVX2.scoreGroupTile(_:_:_:width:_:),
      needGroups: VQTilesAVX2.needGroups(
        _:count:_:_:width:slack:least:_:_:groups:_:_:room:_:),
      boundGroups: VQTilesAVX2.boundGroups(_:tiles:square:_:groups:keep:_:),
      nearMaxima: VQTilesAVX2.nearMaxima(_:count:margin:floor:_:),
      scanShorts: VQTilesAVX2.scanShortGroupTile(_:_:count:_:_:_:pairs:_:stride:))
    static let avx512 = GroupKernels(
      tileCodes: VQTilesAVX512.groupTileCodes,
      scanTile: VQTilesAVX512.scanGroupTile(_:_:count:_:_:width:_:stride:),
      scoreTile: VQTilesAVX512.scoreGroupTile(_:_:_:width:_:),
      needGroups: VQTilesAVX512.needGroups(
        _:count:_:_:width:slack:least:_:_:groups:_:_:room:_:),
      boundGroups: VQTilesAVX512.boundGroups(_:tiles:square:_:groups:keep:_:),
      nearMaxima: VQTilesAVX512.nearMaxima(_:count:margin:floor:_:))
    static let avx512vnni = {
      var kernels = avx512
      kernels.scanShorts = VQTilesVNNI.scanShortGroupTile(_:_:count:_:_:_:pairs:_:stride:)
      return kernels
    }()
  #endif
}
