/// Elementary functions as straight-line code, so that loops over them vectorise for any
/// instruction set. Polynomials are least-maximum fits of the relative error on the interval named
/// beside them.

/// `e^x` within 1 ulp for normal results; overflows to infinity, underflows through denormals to 0.
@inline(__always)
func exponential(_ x: Float) -> Float {
  let bounded: Float = x < -104 ? -104 : (x > 89 ? 89 : x)
  // Adding 1.5 * 2^23 leaves the nearest integer n of x / ln 2 in the low bits.
  let shifted = bounded * 1.442_695_04 + 12_582_912
  let n = shifted - 12_582_912
  let r = (bounded - n * 0.693_359_375) + n * 2.121_944_4e-4
  // e^r on |r| <= ln(2) / 2.
  var p: Float = 0.001_383_684
  p = p * r + 0.008_374_818
  p = p * r + 0.041_668_225
  p = p * r + 0.166_664_2
  p = p * r + 0.499_999_9
  p = p * r + 1
  p = p * r + 1
  // 2^n in two factors: n reaches -150 and 128.
  let exponent = Int32(bitPattern: shifted.bitPattern) &- 0x4B40_0000
  let half = exponent &>> 1
  return p * powerOfTwo(half) * powerOfTwo(exponent &- half)
}

/// `2^n` for `-126...127`.
@inline(__always)
private func powerOfTwo(_ n: Int32) -> Float {
  Float(bitPattern: UInt32(bitPattern: (n &+ 127) &<< 23))
}

/// The natural logarithm within 2 ulp; negative infinity at 0, NaN below.
@inline(__always)
func logarithm(_ x: Float) -> Float {
  let denormal = x < 0x1p-126
  let bits = Int32(bitPattern: (denormal ? x * 0x1p23 : x).bitPattern)
  // x = 2^exponent * m with m in [sqrt(1/2), sqrt(2)).
  let exponent = (bits &- 0x3F35_04F3) &>> 23
  let f = Float(bitPattern: UInt32(bitPattern: bits &- (exponent &<< 23))) - 1
  let n = Float(exponent) - (denormal ? 23 : 0)
  let value = n * 0.693_359_375 + (n * -2.121_944_4e-4 + logarithmOfOnePlus(f))
  return x > 0 ? (x < .infinity ? value : x) : (x == 0 ? -.infinity : .nan)
}

/// `log(1 + f)` for f between sqrt(1/2) - 1 and sqrt(2) - 1, within 2 ulp.
@inline(__always)
func logarithmOfOnePlus(_ f: Float) -> Float {
  // log(1 + f) = 2 artanh(s), s = f / (2 + f), |s| <= 0.1716.
  let s = f / (2 + f)
  let z = s * s
  var p: Float = 0.233_265_36
  p = p * z + 0.285_510_33
  p = p * z + 0.400_001_2
  p = p * z + 0.666_666_7
  return 2 * s + s * z * p
}

/// The hyperbolic tangent within 3 ulp.
@inline(__always)
func hyperbolicTangent(_ x: Float) -> Float {
  let magnitude = abs(x)
  // tanh(x) / x as a polynomial of x^2 on |x| <= 0.625.
  let z = x * x
  var p: Float = -0.005_659_985
  p = p * z + 0.020_590_983
  p = p * z - 0.053_721_067
  p = p * z + 0.133_311_27
  p = p * z - 0.333_332_6
  let small = x * z * p + x
  let large = 1 - 2 / (exponential(2 * magnitude) + 1)
  let signed = Float(bitPattern: large.bitPattern | (x.bitPattern & 0x8000_0000))
  return magnitude < 0.625 ? small : signed
}

/// `1 / (1 + e^-x)` within 3 ulp, in both tails.
@inline(__always)
func logistic(_ x: Float) -> Float {
  let e = exponential(-abs(x))
  return (x < 0 ? e : 1) / (1 + e)
}

/// The normal distribution: `P(X <= x)` and its density, within 4 ulp where `x^2 / 2` is small and
/// within `x^2` ulp in the lower tail.
@inline(__always)
func normalDistribution(_ x: Float) -> (cumulative: Float, density: Float) {
  let e = exponential(-0.5 * x * x)
  // e^(x^2 / 2) P(X > |x|) / u as a polynomial of u = 1 / (1 + 0.4 |x|) for |x| <= 14.5.
  let u = 1 / (1 + 0.4 * abs(x))
  var p: Float = 0.032_208_32
  p = p * u - 0.176_770_09
  p = p * u + 0.382_166_98
  p = p * u - 0.373_784_84
  p = p * u + 0.119_220_145
  p = p * u - 0.026_659_522
  p = p * u + 0.091_259_76
  p = p * u + 0.133_158_12
  p = p * u + 0.159_625_08
  p = p * u + 0.159_576_03
  let upper = e * (u * p)
  return (x > 0 ? 1 - upper : upper, e * 0.398_942_28)
}

/// Sine and cosine of `2 pi turns / 2^32`, within 2^-23.
@inline(__always)
func sineCosine(turns: UInt32) -> (sine: Float, cosine: Float) {
  // The nearest quarter turn, and the rest in [-1/8, 1/8) of a turn.
  let quadrant = (turns &+ 0x2000_0000) &>> 30
  let rest = Float(Int32(bitPattern: turns &- (quadrant &<< 30))) * 0x1p-32
  let z = rest * rest
  var s: Float = -76.697_78
  s = s * z + 81.605_2
  s = s * z - 41.341_7
  s = (s * z + 6.283_185_5) * rest
  var c: Float = 59.202_797
  c = c * z - 85.442_3
  c = c * z + 64.939_31
  c = c * z - 19.739_208
  c = c * z + 1
  // Odd quadrants exchange the two; the signs follow the quadrant.
  let exchanged = (s.bitPattern ^ c.bitPattern) & (0 &- (quadrant & 1))
  let sine = s.bitPattern ^ exchanged ^ (quadrant & 2) &<< 30
  let cosine = c.bitPattern ^ exchanged ^ ((quadrant &+ 1) & 2) &<< 30
  return (Float(bitPattern: sine), Float(bitPattern: cosine))
}
