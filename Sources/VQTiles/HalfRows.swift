import CPlatform

// Numbers of two bytes, by their bits: IEEE binary16 (5 bits of exponent, 10 of fraction) and
// bfloat16, the first half of a float32. Every instruction set gives the same bits.

/// `out[i]` is `x[i]` rounded to binary16, to the nearest, ties to even: infinite from 65520 on.
public func float16Row(
  _ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<UInt16>, count: Int
) {
  #if VQ_AVX2 || VQ_AVX512
    let done = count / 8 * 8
    for i in stride(from: 0, to: done, by: 8) {
      (out + i).store(vq_narrowed_to_binary16((x + i).vector(SIMD8<Float>.self)))
    }
  #else
    let done = 0
  #endif
  for i in done..<count { out[i] = float16Bits(x[i]) }
}

/// `out[i]` is `x[i]` rounded to bfloat16, to the nearest, ties to even.
public func bfloat16Row(
  _ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<UInt16>, count: Int
) {
  for i in 0..<count { out[i] = bfloat16Bits(x[i]) }
}

/// `out[i]` is the number of binary16 whose bits are `x[i]`.
public func float16ValueRow(
  _ x: UnsafePointer<UInt16>, _ out: UnsafeMutablePointer<Float>, count: Int
) {
  #if VQ_AVX2 || VQ_AVX512
    let done = count / 8 * 8
    for i in stride(from: 0, to: done, by: 8) {
      (out + i).store(vq_widened_from_binary16((x + i).vector(SIMD8<UInt16>.self)))
    }
  #else
    let done = 0
  #endif
  for i in done..<count { out[i] = float16Value(x[i]) }
}

/// `out[i]` is the number of bfloat16 whose bits are `x[i]`.
public func bfloat16ValueRow(
  _ x: UnsafePointer<UInt16>, _ out: UnsafeMutablePointer<Float>, count: Int
) {
  for i in 0..<count { out[i] = Float(bitPattern: UInt32(x[i]) << 16) }
}

/// NaN keeps its sign and the first bits of its fraction, and is quiet.
@inline(__always)
private func float16Bits(_ x: Float) -> UInt16 {
  let bits = Int32(bitPattern: x.bitPattern)
  let magnitude = bits & 0x7FFF_FFFF
  let odd = (magnitude >> 13) & 1
  let normal = (magnitude &- 0x3800_0000 &+ 0xFFF &+ odd) >> 13
  // Beside 1/2 the last place is 2^-24, that of a denormal binary16.
  let small = Float(bitPattern: UInt32(bitPattern: magnitude)) + 0.5
  let denormal = Int32(bitPattern: small.bitPattern) &- 0x3F00_0000
  let nan = 0x7E00 | ((magnitude >> 13) & 0x3FF)
  let large = magnitude > 0x7F80_0000 ? nan : 0x7C00
  let finite = magnitude < 0x3880_0000 ? denormal : normal
  let result = magnitude >= 0x4780_0000 ? large : finite
  return UInt16(truncatingIfNeeded: result | ((bits >> 16) & 0x8000))
}

@inline(__always)
private func bfloat16Bits(_ x: Float) -> UInt16 {
  let bits = Int32(bitPattern: x.bitPattern)
  let rounded = (bits &+ 0x7FFF &+ ((bits >> 16) & 1)) >> 16
  let nan = (bits >> 16) | 0x40
  return UInt16(truncatingIfNeeded: bits & 0x7FFF_FFFF > 0x7F80_0000 ? nan : rounded)
}

@inline(__always)
private func float16Value(_ bits: UInt16) -> Float {
  let magnitude = Int32(bits & 0x7FFF)
  let normal = (magnitude << 13) &+ 0x3800_0000
  let denormal = Int32(bitPattern: (Float(magnitude) * 0x1p-24).bitPattern)
  let nan = (magnitude << 13) | 0x7FC0_0000
  let large = magnitude > 0x7C00 ? nan : 0x7F80_0000
  let finite = magnitude < 0x400 ? denormal : normal
  let result = UInt32(bitPattern: magnitude >= 0x7C00 ? large : finite)
  return Float(bitPattern: result | UInt32(bits & 0x8000) << 16)
}
