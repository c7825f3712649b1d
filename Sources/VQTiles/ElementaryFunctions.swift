/// Elementary functions as straight-line code, so that loops over them vectorise for any
/// instruction set. Polynomials are least-maximum fits of the relative error on the interval named
/// beside them.

/// `a b + c`, rounded once where the instruction set has that.
@inline(__always)
func fused(_ a: Float, _ b: Float, _ c: Float) -> Float {
  #if VQ_AVX2 || VQ_AVX512
    c.addingProduct(a, b)
  #else
    a * b + c
  #endif
}

/// `a b + c`, rounded twice by every instruction set.
@inline(__always)
func separate(_ a: Float, _ b: Float, _ c: Float) -> Float { a * b + c }

/// `a b + c` as a function of an instruction set, or the same in all.
typealias ProductSum = (Float, Float, Float) -> Float

/// `e^x` within 1 ulp for normal results; overflows to infinity, underflows through denormals to 0.
@inline(__always)
func exponential(_ x: Float) -> Float {
  let bounded: Float = x < -104 ? -104 : (x > 89 ? 89 : x)
  // Adding 1.5 * 2^23 leaves the nearest integer n of x / ln 2 in the low bits.
  let shifted = fused(bounded, 1.442_695_04, 12_582_912)
  let n = shifted - 12_582_912
  let r = fused(n, 2.121_944_4e-4, fused(n, -0.693_359_375, bounded))
  // e^r on |r| <= ln(2) / 2.
  var p: Float = 0.001_383_684
  p = fused(p, r, 0.008_374_818)
  p = fused(p, r, 0.041_668_225)
  p = fused(p, r, 0.166_664_2)
  p = fused(p, r, 0.499_999_9)
  p = fused(p, r, 1)
  p = fused(p, r, 1)
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
func logarithm(_ x: Float) -> Float { logarithm(x, fused) }

@inline(__always)
func logarithm(_ x: Float, _ sum: ProductSum) -> Float {
  let denormal = x < 0x1p-126
  let bits = Int32(bitPattern: (denormal ? x * 0x1p23 : x).bitPattern)
  // x = 2^exponent * m with m in [sqrt(1/2), sqrt(2)).
  let exponent = (bits &- 0x3F35_04F3) &>> 23
  let f = Float(bitPattern: UInt32(bitPattern: bits &- (exponent &<< 23))) - 1
  let n = Float(exponent) - (denormal ? 23 : 0)
  let value = sum(n, 0.693_359_375, sum(n, -2.121_944_4e-4, logarithmOfOnePlus(f, sum)))
  return x > 0 ? (x < .infinity ? value : x) : (x == 0 ? -.infinity : .nan)
}

/// `log(1 + f)` for f between sqrt(1/2) - 1 and sqrt(2) - 1, within 2 ulp.
@inline(__always)
func logarithmOfOnePlus(_ f: Float) -> Float { logarithmOfOnePlus(f, fused) }

@inline(__always)
func logarithmOfOnePlus(_ f: Float, _ sum: ProductSum) -> Float {
  // log(1 + f) = 2 artanh(s), s = f / (2 + f), |s| <= 0.1716.
  let s = f / (2 + f)
  let z = s * s
  var p: Float = 0.233_265_36
  p = sum(p, z, 0.285_510_33)
  p = sum(p, z, 0.400_001_2)
  p = sum(p, z, 0.666_666_7)
  return sum(s * z, p, 2 * s)
}

/// The hyperbolic tangent within 3 ulp.
@inline(__always)
func hyperbolicTangent(_ x: Float) -> Float {
  let magnitude = abs(x)
  // tanh(x) / x as a polynomial of x^2 on |x| <= 0.625.
  let z = x * x
  var p: Float = -0.005_659_985
  p = fused(p, z, 0.020_590_983)
  p = fused(p, z, -0.053_721_067)
  p = fused(p, z, 0.133_311_27)
  p = fused(p, z, -0.333_332_6)
  let small = fused(x * z, p, x)
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
  let u = 1 / fused(0.4, abs(x), 1)
  var p: Float = 0.032_208_32
  p = fused(p, u, -0.176_770_09)
  p = fused(p, u, 0.382_166_98)
  p = fused(p, u, -0.373_784_84)
  p = fused(p, u, 0.119_220_145)
  p = fused(p, u, -0.026_659_522)
  p = fused(p, u, 0.091_259_76)
  p = fused(p, u, 0.133_158_12)
  p = fused(p, u, 0.159_625_08)
  p = fused(p, u, 0.159_576_03)
  let upper = e * (u * p)
  return (x > 0 ? 1 - upper : upper, e * 0.398_942_28)
}

/// Sine and cosine of `2 pi turns / 2^32`, within 2^-23.
@inline(__always)
func sineCosine(turns: UInt32) -> (sine: Float, cosine: Float) { sineCosine(turns: turns, fused) }

@inline(__always)
func sineCosine(turns: UInt32, _ sum: ProductSum) -> (sine: Float, cosine: Float) {
  // The nearest quarter turn, and the rest in [-1/8, 1/8) of a turn.
  let quadrant = (turns &+ 0x2000_0000) &>> 30
  let rest = Float(Int32(bitPattern: turns &- (quadrant &<< 30))) * 0x1p-32
  let z = rest * rest
  var s: Float = -76.697_78
  s = sum(s, z, 81.605_2)
  s = sum(s, z, -41.341_7)
  s = sum(s, z, 6.283_185_5) * rest
  var c: Float = 59.202_797
  c = sum(c, z, -85.442_3)
  c = sum(c, z, 64.939_31)
  c = sum(c, z, -19.739_208)
  c = sum(c, z, 1)
  // Odd quadrants exchange the two; the signs follow the quadrant.
  let exchanged = (s.bitPattern ^ c.bitPattern) & (0 &- (quadrant & 1))
  let sine = s.bitPattern ^ exchanged ^ (quadrant & 2) &<< 30
  let cosine = c.bitPattern ^ exchanged ^ ((quadrant &+ 1) & 2) &<< 30
  return (Float(bitPattern: sine), Float(bitPattern: cosine))
}

/// `e^x - 1` within 3 ulp.
@inline(__always)
func exponentialLessOne(_ x: Float) -> Float {
  // (e^x - 1 - x) / x^2 on |x| <= 0.5.
  var p: Float = 1.987_562_9e-4
  p = fused(p, x, 0.001_398_199_7)
  p = fused(p, x, 0.008_333_452)
  p = fused(p, x, 0.041_665_796)
  p = fused(p, x, 0.166_666_66)
  p = fused(p, x, 0.5)
  return abs(x) < 0.5 ? fused(x * x, p, x) : exponential(x) - 1
}

/// `log(1 + x)` within 3 ulp.
@inline(__always)
func logarithmOfOnePlusAny(_ x: Float) -> Float {
  let u = 1 + x
  // What rounding 1 + x leaves out, none where u is 0 or infinite.
  let rest = u > 0 && u < .infinity ? (x - (u - 1)) / u : 0
  return x > -0.29 && x < 0.41 ? logarithmOfOnePlus(x) : logarithm(u) + rest
}

/// `log(1 + e^(beta x)) / beta` within 3 ulp for a beta of 1.
@inline(__always)
func softPlus(_ x: Float, _ beta: Float = 1) -> Float {
  logarithmOfOnePlusAny(exponential(-abs(beta * x))) / beta + (x > 0 ? x : (x == x ? 0 : x))
}

/// `2 / sqrt(pi)` times the integral of `e^(-t^2)` from 0 to x, within 3 ulp.
@inline(__always)
func errorFunction(_ x: Float) -> Float {
  // erf(x) / x as a polynomial of x^2 on |x| <= 1.
  let z = x * x
  var p: Float = 7.853_858e-5
  p = fused(p, z, -8.010_193e-4)
  p = fused(p, z, 0.005_188_327_7)
  p = fused(p, z, -0.026_853_811)
  p = fused(p, z, 0.112_835_854)
  p = fused(p, z, -0.376_126_26)
  p = fused(p, z, 1.128_379_1)
  let beyond = 1 - 2 * normalDistribution(-abs(x) * 1.414_213_6).cumulative
  let signed = Float(bitPattern: beyond.bitPattern | (x.bitPattern & 0x8000_0000))
  return abs(x) < 1 ? x * p : signed
}

/// Numbers up to which `sineCosine(radians:)` is as exact as it says.
let largestAngle: Float = 8192

/// Sine and cosine within 2^-23 for `|x| <= largestAngle`.
@inline(__always)
func sineCosine(radians x: Float) -> (sine: Float, cosine: Float) {
  // The nearest integer n of x / (pi / 2) in the low bits, and pi / 2 in parts whose multiples are
  // exact.
  let shifted = fused(x, 0.636_619_75, 12_582_912)
  let n = shifted - 12_582_912
  let first = fused(n, -4.837_513e-4, fused(n, -1.5703125, x))
  let r = fused(n, -2.563_344e-12, fused(n, -7.549_533_6e-8, first))
  let z = r * r
  // (sin(r) - r) / r^3 and (cos(r) - 1 + r^2 / 2) / r^4 on |r| <= pi / 4.
  var s: Float = -1.958_736e-4
  s = fused(s, z, 0.008_332_745)
  s = fused(s, z, -0.166_666_64)
  s = fused(r * z, s, r)
  var c: Float = 2.454_760_8e-5
  c = fused(c, z, -0.001_388_830_1)
  c = fused(c, z, 0.041_666_664)
  c = fused(z * z, c, fused(-0.5, z, 1))
  let quadrant = shifted.bitPattern
  let exchanged = (s.bitPattern ^ c.bitPattern) & (0 &- (quadrant & 1))
  let sine = s.bitPattern ^ exchanged ^ (quadrant & 2) &<< 30
  let cosine = c.bitPattern ^ exchanged ^ ((quadrant &+ 1) & 2) &<< 30
  return (Float(bitPattern: sine), Float(bitPattern: cosine))
}
