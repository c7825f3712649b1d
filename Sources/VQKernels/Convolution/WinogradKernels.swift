import VQTiles

#if arch(x86_64)
  import VQTilesAVX2
  import VQTilesAVX512
#endif

/// A transform and its transposed in one instruction set; they are documented in `VQTiles`.
struct WinogradTransforms {
  typealias Input = UnsafePointer<Float>
  typealias Output = UnsafeMutablePointer<Float>

  let patches: (WinogradKernels.Sources, Int, Int, Output, Int, Int, Int) -> Void
  let gradients: (WinogradKernels.Sources, Int, Int, Int, Output, Int, Int, Int) -> Void
  let outputs: (Input, Int, Int, Int, Int, Input, WinogradKernels.Targets) -> Void
  let weights: (Input, Int, Int, Output, Int) -> Void
  let weightGradients: (Input, Int, Int, Output) -> Void
}

/// The parts of a Winograd convolution in one instruction set; they are documented in `VQTiles`.
struct WinogradKernels {
  typealias Sources = UnsafePointer<UnsafePointer<Float>>
  typealias Targets = UnsafePointer<UnsafeMutablePointer<Float>>
  typealias Input = UnsafePointer<Float>
  typealias Output = UnsafeMutablePointer<Float>

  /// Rows and columns that the products take at once.
  let rows, columns: Int
  let planes, phases, lines: WinogradTransforms
  let measurePixels: (Input, Int, Int, Input, Output, Output) -> Void
  let measureChannels: (Input, Int, Int, Output, Output, Output) -> Void
  let multiplyPoints: (Input, Int, Int, Input, Output, Int, Int, Int, Int, Int) -> Void
  let addTransposedProducts: (Input, Int, Input, Int, Int, Output, Int, Int, Int, Int, Int) -> Void

  /// Elements of a vector.
  var lanes: Int { columns / 2 }

  /// Those of the highest instruction set that the CPU runs.
  static let usable = WinogradKernels(.usable)
}

extension WinogradKernels: VectorKernels {
  static let portable = WinogradKernels(
    rows: VQTiles.tapRows, columns: VQTiles.productColumns,
    planes: WinogradTransforms(
      patches: VQTiles.transformPatches(
        _:count:channels:_:pointStride:tileStride:channelStride:),
      gradients: VQTiles.transformGradients(
        _:side:count:channels:_:pointStride:tileStride:channelStride:),
      outputs: VQTiles.transformOutputs(_:pointStride:side:count:channels:bias:_:),
      weights: VQTiles.transformWeights(_:side:count:_:pointStride:),
      weightGradients: VQTiles.transformWeightGradients(_:side:count:_:)),
    phases: WinogradTransforms(
      patches: VQTiles.transformPhasePatches(
        _:count:channels:_:pointStride:tileStride:channelStride:),
      gradients: VQTiles.transformPhaseGradients(
        _:side:count:channels:_:pointStride:tileStride:channelStride:),
      outputs: VQTiles.transformPhaseOutputs(_:pointStride:side:count:channels:bias:_:),
      weights: VQTiles.transformPhaseWeights(_:side:count:_:pointStride:),
      weightGradients: VQTiles.transformPhaseWeightGradients(_:side:count:_:)),
    lines: WinogradTransforms(
      patches: VQTiles.transformLines(
        _:count:channels:_:pointStride:tileStride:channelStride:),
      gradients: VQTiles.transformLineGradients(
        _:side:count:channels:_:pointStride:tileStride:channelStride:),
      outputs: VQTiles.transformLineOutputs(_:pointStride:side:count:channels:bias:_:),
      weights: VQTiles.transformLineWeights(_:side:count:_:pointStride:),
      weightGradients: VQTiles.transformLineWeightGradients(_:side:count:_:)),
    measurePixels: VQTiles.measurePixels(_:count:channels:share:sums:peaks:),
    measureChannels: VQTiles.measureChannels(
      _:count:channels:sums:channelSums:channelPeaks:),
    multiplyPoints: VQTiles.multiplyPoints(
      _:aStride:rowStride:_:_:outStride:points:rows:depth:columns:),
    addTransposedProducts: VQTiles.addTransposedProducts(
      _:aStride:_:bStride:capacity:_:points:parts:rows:tiles:columns:))

  #if arch(x86_64)
    static let avx2 = WinogradKernels(
      rows: VQTilesAVX2.tapRows, columns: VQTilesAVX2.productColumns,
      planes: WinogradTransforms(
        patches: VQTilesAVX2.transformPatches(
          _:count:channels:_:pointStride:tileStride:channelStride:),
        gradients: VQTilesAVX2.transformGradients(
          _:side:count:channels:_:pointStride:tileStride:channelStride:),
        outputs: VQTilesAVX2.transformOutputs(_:pointStride:side:count:channels:bias:_:),
        weights: VQTilesAVX2.transformWeights(_:side:count:_:pointStride:),
        weightGradients: VQTilesAVX2.transformWeightGradients(_:side:count:_:)),
      phases: WinogradTransforms(
        patches: VQTilesAVX2.transformPhasePatches(
          _:count:channels:_:pointStride:tileStride:channelStride:),
        gradients: VQTilesAVX2.transformPhaseGradients(
          _:side:count:channels:_:pointStride:tileStride:channelStride:),
        outputs: VQTilesAVX2.transformPhaseOutputs(_:pointStride:side:count:channels:bias:_:),
        weights: VQTilesAVX2.transformPhaseWeights(_:side:count:_:pointStride:),
        weightGradients: VQTilesAVX2.transformPhaseWeightGradients(_:side:count:_:)),
      lines: WinogradTransforms(
        patches: VQTilesAVX2.transformLines(
          _:count:channels:_:pointStride:tileStride:channelStride:),
        gradients: VQTilesAVX2.transformLineGradients(
          _:side:count:channels:_:pointStride:tileStride:channelStride:),
        outputs: VQTilesAVX2.transformLineOutputs(_:pointStride:side:count:channels:bias:_:),
        weights: VQTilesAVX2.transformLineWeights(_:side:count:_:pointStride:),
        weightGradients: VQTilesAVX2.transformLineWeightGradients(_:side:count:_:)),
      measurePixels: VQTilesAVX2.measurePixels(_:count:channels:share:sums:peaks:),
      measureChannels: VQTilesAVX2.measureChannels(
        _:count:channels:sums:channelSums:channelPeaks:),
      multiplyPoints: VQTilesAVX2.multiplyPoints(
        _:aStride:rowStride:_:_:outStride:points:rows:depth:columns:),
      addTransposedProducts: VQTilesAVX2.addTransposedProducts(
        _:aStride:_:bStride:capacity:_:points:parts:rows:tiles:columns:))

    static let avx512 = WinogradKernels(
      rows: VQTilesAVX512.tapRows, columns: VQTilesAVX512.productColumns,
      planes: WinogradTransforms(
        patches: VQTilesAVX512.transformPatches(
          _:count:channels:_:pointStride:tileStride:channelStride:),
        gradients: VQTilesAVX512.transformGradients(
          _:side:count:channels:_:pointStride:tileStride:channelStride:),
        outputs: VQTilesAVX512.transformOutputs(_:pointStride:side:count:channels:bias:_:),
        weights: VQTilesAVX512.transformWeights(_:side:count:_:pointStride:),
        weightGradients: VQTilesAVX512.transformWeightGradients(_:side:count:_:)),
      phases: WinogradTransforms(
        patches: VQTilesAVX512.transformPhasePatches(
          _:count:channels:_:pointStride:tileStride:channelStride:),
        gradients: VQTilesAVX512.transformPhaseGradients(
          _:side:count:channels:_:pointStride:tileStride:channelStride:),
        outputs: VQTilesAVX512.transformPhaseOutputs(_:pointStride:side:count:channels:bias:_:),
        weights: VQTilesAVX512.transformPhaseWeights(_:side:count:_:pointStride:),
        weightGradients: VQTilesAVX512.transformPhaseWeightGradients(_:side:count:_:)),
      lines: WinogradTransforms(
        patches: VQTilesAVX512.transformLines(
          _:count:channels:_:pointStride:tileStride:channelStride:),
        gradients: VQTilesAVX512.transformLineGradients(
          _:side:count:channels:_:pointStride:tileStride:channelStride:),
        outputs: VQTilesAVX512.transformLineOutputs(_:pointStride:side:count:channels:bias:_:),
        weights: VQTilesAVX512.transformLineWeights(_:side:count:_:pointStride:),
        weightGradients: VQTilesAVX512.transformLineWeightGradients(_:side:count:_:)),
      measurePixels: VQTilesAVX512.measurePixels(_:count:channels:share:sums:peaks:),
      measureChannels: VQTilesAVX512.measureChannels(
        _:count:channels:sums:channelSums:channelPeaks:),
      multiplyPoints: VQTilesAVX512.multiplyPoints(
        _:aStride:rowStride:_:_:outStride:points:rows:depth:columns:),
      addTransposedProducts: VQTilesAVX512.addTransposedProducts(
        _:aStride:_:bStride:capacity:_:points:parts:rows:tiles:columns:))
  #endif
}
