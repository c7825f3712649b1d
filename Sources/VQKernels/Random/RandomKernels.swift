import VQTiles

#if arch(x86_64)
  import VQTilesAVX2
  import VQTilesAVX512
#endif

/// Rows of random numbers in one instruction set; they are documented in `VQTiles`.
struct RandomKernels {
  typealias Row =
    (
      UnsafePointer<UInt32>, Float, UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int
    ) -> Void

  let words: (UInt64, UInt64, UInt64, Int, UnsafeMutablePointer<UInt32>) -> Int
  let normalPairs: (UnsafePointer<UInt32>, Int, UnsafeMutablePointer<Float>) -> Void
  let addGumbelRow: Row
  let subtractGumbelRow: Row

  static let usable = RandomKernels(.usable)
}

extension RandomKernels: VectorKernels {
  static let portable = RandomKernels(
    words: VQTiles.fillWords(seed:stream:counter:blocks:_:),
    normalPairs: VQTiles.normalPairs(_:_:_:),
    addGumbelRow: VQTiles.addGumbelRow(_:_:_:_:count:),
    subtractGumbelRow: VQTiles.subtractGumbelRow(_:_:_:_:count:))

  #if arch(x86_64)
    static let avx2 = RandomKernels(
      words: VQTilesAVX2.fillWords(seed:stream:counter:blocks:_:),
      normalPairs: VQTilesAVX2.normalPairs(_:_:_:),
      addGumbelRow: VQTilesAVX2.addGumbelRow(_:_:_:_:count:),
      subtractGumbelRow: VQTilesAVX2.subtractGumbelRow(_:_:_:_:count:))

    static let avx512 = RandomKernels(
      words: VQTilesAVX512.fillWords(seed:stream:counter:blocks:_:),
      normalPairs: VQTilesAVX512.normalPairs(_:_:_:),
      addGumbelRow: VQTilesAVX512.addGumbelRow(_:_:_:_:count:),
      subtractGumbelRow: VQTilesAVX512.subtractGumbelRow(_:_:_:_:count:))
  #endif
}
