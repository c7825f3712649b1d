import VQTiles

#if arch(x86_64)
  import VQTilesAVX2
  import VQTilesAVX512
#endif

/// The rows of batch normalization in one instruction set; they are documented in `VQTiles`.
struct NormalizationKernels {
  typealias Input = UnsafePointer<Float>
  typealias Output = UnsafeMutablePointer<Float>

  let addRows: (Input, Int, Int, Output) -> Void
  let addSquares: (Input, Int, Int, Input, Output) -> Void
  let normalizeRows: (Input, Int, Int, Input, Input, Input, Bool, Output) -> Void
  let addGradientProducts: (Input, Input, Int, Int, Input, Input, Input, Bool, Output) -> Void
  let pullGradientRows:
    (Input, Input, Int, Int, Input, Input, Input, Input, Input, Bool, Output) -> Void

  /// Those of the highest instruction set that the CPU runs.
  static let usable = NormalizationKernels(.usable)
}

extension NormalizationKernels: VectorKernels {
  static let portable = NormalizationKernels(
    addRows: VQTiles.addRows(_:rows:columns:_:),
    addSquares: VQTiles.addSquares(_:rows:columns:_:_:),
    normalizeRows: VQTiles.normalizeRows(_:rows:columns:mean:factor:shift:relu:_:),
    addGradientProducts: VQTiles.addGradientProducts(
      _:_:rows:columns:mean:factor:shift:relu:_:),
    pullGradientRows: VQTiles.pullGradientRows(
      _:_:rows:columns:mean:factor:shift:level:slope:relu:_:))

  #if arch(x86_64)
    static let avx2 = NormalizationKernels(
      addRows: VQTilesAVX2.addRows(_:rows:columns:_:),
      addSquares: VQTilesAVX2.addSquares(_:rows:columns:_:_:),
      normalizeRows: VQTilesAVX2.normalizeRows(_:rows:columns:mean:factor:shift:relu:_:),
      addGradientProducts: VQTilesAVX2.addGradientProducts(
        _:_:rows:columns:mean:factor:shift:relu:_:),
      pullGradientRows: VQTilesAVX2.pullGradientRows(
        _:_:rows:columns:mean:factor:shift:level:slope:relu:_:))

    static let avx512 = NormalizationKernels(
      addRows: VQTilesAVX512.addRows(_:rows:columns:_:),
      addSquares: VQTilesAVX512.addSquares(_:rows:columns:_:_:),
      normalizeRows: VQTilesAVX512.normalizeRows(_:rows:columns:mean:factor:shift:relu:_:),
      addGradientProducts: VQTilesAVX512.addGradientProducts(
        _:_:rows:columns:mean:factor:shift:relu:_:),
      pullGradientRows: VQTilesAVX512.pullGradientRows(
        _:_:rows:columns:mean:factor:shift:level:slope:relu:_:))
  #endif
}
