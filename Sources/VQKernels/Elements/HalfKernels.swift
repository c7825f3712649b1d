import VQTiles

#if arch(x86_64)
  import VQTilesAVX2
  import VQTilesAVX512
#endif

/// A floating-point format of two bytes.
public enum HalfFormat {
  /// IEEE binary16: 5 bits of exponent, 10 of fraction.
  case float16
  /// The first half of a float32: 8 bits of exponent, 7 of fraction.
  case bfloat16
}

/// The rows of conversions in one instruction set; they are documented in `VQTiles`.
struct HalfKernels {
  typealias Narrowing = (UnsafePointer<Float>, UnsafeMutablePointer<UInt16>, Int) -> Void
  typealias Widening = (UnsafePointer<UInt16>, UnsafeMutablePointer<Float>, Int) -> Void

  let float16: (narrow: Narrowing, widen: Widening)
  let bfloat16: (narrow: Narrowing, widen: Widening)

  static let usable = HalfKernels(.usable)
}

extension HalfKernels: VectorKernels {
  static let portable = HalfKernels(
    float16: (VQTiles.float16Row(_:_:count:), VQTiles.float16ValueRow(_:_:count:)),
    bfloat16: (VQTiles.bfloat16Row(_:_:count:), VQTiles.bfloat16ValueRow(_:_:count:)))

  #if arch(x86_64)
    static let avx2 = HalfKernels(
      float16: (VQTilesAVX2.float16Row(_:_:count:), VQTilesAVX2.float16ValueRow(_:_:count:)),
      bfloat16: (VQTilesAVX2.bfloat16Row(_:_:count:), VQTilesAVX2.bfloat16ValueRow(_:_:count:)))

    static let avx512 = HalfKernels(
      float16: (VQTilesAVX512.float16Row(_:_:count:), VQTilesAVX512.float16ValueRow(_:_:count:)),
      bfloat16: (VQTilesAVX512.bfloat16Row(_:_:count:), VQTilesAVX512.bfloat16ValueRow(_:_:count:))
    )
  #endif
}

/// `out[i]`: the bits of `x[i]`, rounded to the nearest, ties to even.
public func narrow(
  _ x: UnsafePointer<Float>, to format: HalfFormat, _ out: UnsafeMutablePointer<UInt16>, count: Int
) {
  let kernels = HalfKernels.usable
  let row = format == .float16 ? kernels.float16.narrow : kernels.bfloat16.narrow
  parallelFor(count, grain: elementGrain) {
    row(x + $0.lowerBound, out + $0.lowerBound, $0.count)
  }
}

/// `out[i]`: the number whose bits are `x[i]`.
public func widen(
  _ x: UnsafePointer<UInt16>, from format: HalfFormat, _ out: UnsafeMutablePointer<Float>,
  count: Int
) {
  let kernels = HalfKernels.usable
  let row = format == .float16 ? kernels.float16.widen : kernels.bfloat16.widen
  parallelFor(count, grain: elementGrain) {
    row(x + $0.lowerBound, out + $0.lowerBound, $0.count)
  }
}
