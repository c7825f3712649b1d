import VQTiles

#if arch(x86_64)
  import VQTilesAVX2
  import VQTilesAVX512
#endif

/// The parts of a Winograd convolution in one instruction set; they are documented in `VQTiles`.
struct WinogradKernels {
  typealias Sources = UnsafePointer<UnsafePointer<Float>>
  typealias Targets = UnsafePointer<UnsafeMutablePointer<Float>>
  typealias Input = UnsafePointer<Float>
  typealias Output = UnsafeMutablePointer<Float>

  let productRows: Int
  let measurePixels: (Input, Int, Int, Input, Output, Output) -> Void
  let measureChannels: (Input, Int, Int, Output, Output, Output) -> Void
  let transformPatches: (Sources, Int, Int, Output, Int) -> Void
  let transformGradients: (Sources, Int, Int, Output, Int) -> Void
  let transformOutputs: (Input, Int, Int, Int, Input, Targets) -> Void
  let transformWeights: (Input, Int, Int, Int, Output) -> Void
  let transformWeightGradients: (Input, Int, Int, Int, Output) -> Void
  let multiplyPoints: (Input, Int, Input, Output, Int, Int, Int, Int, Int) -> Void
  let addTransposedProducts: (Input, Int, Input, Int, Output, Int, Int, Int, Int) -> Void

  /// Those of the highest instruction set that the CPU runs.
  static let usable = WinogradKernels(.usable)
}

extension WinogradKernels: VectorKernels {
  static let portable = WinogradKernels(
    productRows: VQTiles.productRows,
    measurePixels: VQTiles.measurePixels(_:count:channels:share:sums:peaks:),
    measureChannels: VQTiles.measureChannels(
      _:count:channels:sums:channelSums:channelPeaks:),
    transformPatches: VQTiles.transformPatches(_:count:channels:_:pointStride:),
    transformGradients: VQTiles.transformGradients(_:count:channels:_:pointStride:),
    transformOutputs: VQTiles.transformOutputs(_:pointStride:count:channels:bias:_:),
    transformWeights: VQTiles.transformWeights(_:count:from:to:_:),
    transformWeightGradients: VQTiles.transformWeightGradients(_:count:from:to:_:),
    multiplyPoints: VQTiles.multiplyPoints(
      _:aStride:_:_:outStride:points:rows:depth:columns:),
    addTransposedProducts: VQTiles.addTransposedProducts(
      _:aStride:_:bStride:_:points:rows:depth:columns:))

  #if arch(x86_64)

    static let avx2 = WinogradKernels(
      productRows: VQTilesAVX2.productRows,
      measurePixels: VQTilesAVX2.measurePixels(_:count:channels:share:sums:peaks:),
      measureChannels: VQTilesAVX2.measureChannels(
        _:count:channels:sums:channelSums:channelPeaks:),
      transformPatches: VQTilesAVX2.transformPatches(_:count:channels:_:pointStride:),
      transformGradients: VQTilesAVX2.transformGradients(_:count:channels:_:pointStride:),
      transformOutputs: VQTilesAVX2.transformOutputs(_:pointStride:count:channels:bias:_:),
      transformWeights: VQTilesAVX2.transformWeights(_:count:from:to:_:),
      transformWeightGradients: VQTilesAVX2.transformWeightGradients(_:count:from:to:_:),
      multiplyPoints: VQTilesAVX2.multiplyPoints(
        _:aStride:_:_:outStride:points:rows:depth:columns:),
      addTransposedProducts: VQTilesAVX2.addTransposedProducts(
        _:aStride:_:bStride:_:points:rows:depth:columns:))

    static let avx512 = WinogradKernels(
      productRows: VQTilesAVX512.productRows,
      measurePixels: VQTilesAVX512.measurePixels(_:count:channels:share:sums:peaks:),
      measureChannels: VQTilesAVX512.measureChannels(
        _:count:channels:sums:channelSums:channelPeaks:),
      transformPatches: VQTilesAVX512.transformPatches(_:count:channels:_:pointStride:),
      transformGradients: VQTilesAVX512.transformGradients(_:count:channels:_:pointStride:),
      transformOutputs: VQTilesAVX512.transformOutputs(_:pointStride:count:channels:bias:_:),
      transformWeights: VQTilesAVX512.transformWeights(_:count:from:to:_:),
      transformWeightGradients: VQTilesAVX512.transformWeightGradients(_:count:from:to:_:),
      multiplyPoints: VQTilesAVX512.multiplyPoints(
        _:aStride:_:_:outStride:points:rows:depth:columns:),
      addTransposedProducts: VQTilesAVX512.addTransposedProducts(
        _:aStride:_:bStride:_:points:rows:depth:columns:))
  #endif
}
