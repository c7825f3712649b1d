import VQTiles

#if arch(x86_64)
  import VQTilesAVX2
  import VQTilesAVX512
#endif

/// The products of `TapConvolution` in one instruction set; they are documented in `VQTiles`.
struct TapKernels {
  typealias Input = UnsafePointer<Float>
  typealias Output = UnsafeMutablePointer<Float>

  /// Rows and columns of a product.
  let rows, columns: Int
  let addProducts: (UnsafePointer<Input>, Int, Int, Int, Input, Output, Int) -> Void
  let addGradients: (Input, Input, Int, Int, Int, Output, Int) -> Void

  /// Those of the highest instruction set that the CPU runs.
  static let usable = TapKernels(.usable)
}

extension TapKernels: VectorKernels {
  static let portable = TapKernels(
    rows: VQTiles.tapRows, columns: VQTiles.productColumns,
    addProducts: VQTiles.addTapProducts(_:first:taps:depth:_:_:stride:),
    addGradients: VQTiles.addTapGradients(_:_:step:runs:length:_:stride:))

  #if arch(x86_64)
    static let avx2 = TapKernels(
      rows: VQTilesAVX2.tapRows, columns: VQTilesAVX2.productColumns,
      addProducts: VQTilesAVX2.addTapProducts(_:first:taps:depth:_:_:stride:),
      addGradients: VQTilesAVX2.addTapGradients(_:_:step:runs:length:_:stride:))

    static let avx512 = TapKernels(
      rows: VQTilesAVX512.tapRows, columns: VQTilesAVX512.productColumns,
      addProducts: VQTilesAVX512.addTapProducts(_:first:taps:depth:_:_:stride:),
      addGradients: VQTilesAVX512.addTapGradients(_:_:step:runs:length:_:stride:))
  #endif
}
