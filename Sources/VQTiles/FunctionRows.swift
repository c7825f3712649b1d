// Functions of one number and their gradients, by rows. Sets with fused products round them once.

import CPlatform
import Glibc

private let seluScale: Float = 1.050_701
private let seluAlpha: Float = 1.673_263_2
private let erfSlope: Float = 1.128_379_2
private let reciprocalOfLog2: Float = 1.442_695
private let reciprocalOfLog10: Float = 0.434_294_5

/// `out[i] = f(x[i])`.
public func functionRow(
  _ function: vq_function, _ p: Float, _ q: Float, _ x: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>, count: Int
) {
  switch function {
  case VQ_EXP: map(x, out, count, exponential)
  case VQ_LOG: map(x, out, count, logarithm)
  case VQ_LOG2: map(x, out, count) { logarithm($0) * reciprocalOfLog2 }
  case VQ_LOG10: map(x, out, count) { logarithm($0) * reciprocalOfLog10 }
  case VQ_LOG1P: map(x, out, count, logarithmOfOnePlusAny)
  case VQ_EXPM1: map(x, out, count, exponentialLessOne)
  case VQ_SQRT: map(x, out, count) { $0.squareRoot() }
  case VQ_RSQRT: map(x, out, count) { 1 / $0.squareRoot() }
  case VQ_SIN:
    mapAngles(x, out, count) {
      sineCosine(radians: $0).sine
    } far: {
      sinf($0)
    }
  case VQ_COS:
    mapAngles(x, out, count) {
      sineCosine(radians: $0).cosine
    } far: {
      cosf($0)
    }
  case VQ_TANH: map(x, out, count, hyperbolicTangent)
  case VQ_ERF: map(x, out, count, errorFunction)
  case VQ_SIGMOID: map(x, out, count, logistic)
  case VQ_LOG_SIGMOID: map(x, out, count) { -softPlus(-$0) }
  case VQ_SOFTPLUS: map(x, out, count) { softPlus($0, p) }
  case VQ_SOFTSIGN: map(x, out, count) { $0 / (1 + abs($0)) }
  case VQ_RELU: map(x, out, count) { $0 < 0 ? 0 : $0 }
  case VQ_LEAKY_RELU: map(x, out, count) { $0 < 0 ? p * $0 : $0 }
  case VQ_ELU: map(x, out, count) { $0 < 0 ? p * exponentialLessOne($0) : $0 }
  case VQ_CELU: map(x, out, count) { $0 < 0 ? p * exponentialLessOne($0 / p) : $0 }
  case VQ_SELU:
    map(x, out, count) { seluScale * ($0 < 0 ? seluAlpha * exponentialLessOne($0) : $0) }
  case VQ_GELU: map(x, out, count) { $0 * normalDistribution($0).cumulative }
  case VQ_GELU_TANH: map(x, out, count) { $0 * logistic(geluAngle($0).angle) }
  case VQ_SILU: map(x, out, count) { $0 * logistic($0) }
  case VQ_MISH: map(x, out, count) { $0 * tanhOfSoftPlus($0) }
  case VQ_HARDSWISH:
    map(x, out, count) { $0 < -3 ? 0 : ($0 > 3 ? $0 : $0 * (($0 + 3) * (1 / 6))) }
  case VQ_HARDSIGMOID: map(x, out, count) { $0 < -3 ? 0 : ($0 > 3 ? 1 : ($0 + 3) * (1 / 6)) }
  case VQ_ABS: map(x, out, count) { abs($0) }
  case VQ_SIGN: map(x, out, count) { $0 > 0 ? 1 : ($0 < 0 ? -1 : ($0 == 0 ? 0 : $0)) }
  case VQ_SQUARE: map(x, out, count) { $0 * $0 }
  case VQ_CUBE: map(x, out, count) { $0 * $0 * $0 }
  case VQ_RECIPROCAL: map(x, out, count) { 1 / $0 }
  case VQ_POWER: map(x, out, count) { powf($0, p) }
  case VQ_CLAMP: map(x, out, count) { $0 < p ? p : ($0 > q ? q : $0) }
  case VQ_FLOOR: map(x, out, count) { floorf($0) }
  case VQ_CEIL: map(x, out, count) { ceilf($0) }
  default: map(x, out, count) { rintf($0) }
  }
}

/// `out[i] = g[i] f'(x[i])`, where `saved` holds f(x) for the functions that `VQKernels` says, else
/// x.
public func functionGradientRow(
  _ function: vq_function, _ p: Float, _ q: Float, _ saved: UnsafePointer<Float>,
  _ g: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, count: Int
) {
  switch function {
  case VQ_EXP: map(saved, g, out, count) { y, g in g * y }
  case VQ_LOG: map(saved, g, out, count) { x, g in g / x }
  case VQ_LOG2: map(saved, g, out, count) { x, g in g / x * reciprocalOfLog2 }
  case VQ_LOG10: map(saved, g, out, count) { x, g in g / x * reciprocalOfLog10 }
  case VQ_LOG1P: map(saved, g, out, count) { x, g in g / (1 + x) }
  case VQ_EXPM1: map(saved, g, out, count) { y, g in g * (y + 1) }
  case VQ_SQRT: map(saved, g, out, count) { y, g in g * 0.5 / y }
  case VQ_RSQRT: map(saved, g, out, count) { y, g in g * -0.5 * (y * y * y) }
  case VQ_TANH: map(saved, g, out, count) { y, g in g * (1 - y * y) }
  case VQ_SIGMOID: map(saved, g, out, count) { y, g in g * (y * (1 - y)) }
  case VQ_LOG_SIGMOID: map(saved, g, out, count) { x, g in g * logistic(-x) }
  case VQ_SOFTPLUS: map(saved, g, out, count) { x, g in g * logistic(p * x) }
  case VQ_SOFTSIGN:
    map(saved, g, out, count) { x, g in
      let share = 1 / (1 + abs(x))
      return g * (share * share)
    }
  case VQ_RELU: map(saved, g, out, count) { y, g in y > 0 ? g : 0 }
  case VQ_LEAKY_RELU: map(saved, g, out, count) { x, g in x > 0 ? g : p * g }
  case VQ_ELU:
    map(saved, g, out, count) { x, g in x > 0 ? g : g * (p * exponential(x)) }
  case VQ_CELU:
    map(saved, g, out, count) { x, g in x > 0 ? g : g * exponential(x / p) }
  case VQ_SELU:
    map(saved, g, out, count) { x, g in
      g * (seluScale * (x > 0 ? 1 : seluAlpha * exponential(x)))
    }
  case VQ_HARDSWISH:
    map(saved, g, out, count) { x, g in x < -3 ? 0 : (x > 3 ? g : g * (x * (1 / 3) + 0.5)) }
  case VQ_HARDSIGMOID: map(saved, g, out, count) { x, g in x > -3 && x < 3 ? g * (1 / 6) : 0 }
  case VQ_ABS: map(saved, g, out, count) { x, g in x > 0 ? g : (x < 0 ? -g : 0) }
  case VQ_SQUARE: map(saved, g, out, count) { x, g in g * (2 * x) }
  case VQ_CUBE: map(saved, g, out, count) { x, g in g * (3 * x * x) }
  case VQ_RECIPROCAL: map(saved, g, out, count) { x, g in -g / (x * x) }
  case VQ_POWER where p == 0: map(saved, g, out, count) { _, _ in 0 }
  case VQ_POWER: map(saved, g, out, count) { x, g in g * (p * powf(x, p - 1)) }
  case VQ_CLAMP: map(saved, g, out, count) { x, g in x >= p && x <= q ? g : 0 }
  default: map(saved, g, out, count) { _, _ in 0 }
  }
}

/// `out[i] = f(x[i])` and `slopes[i] = f'(x[i])` of the functions for which both share their work.
public func functionSlopeRow(
  _ function: vq_function, _ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>,
  _ slopes: UnsafeMutablePointer<Float>, count: Int
) {
  switch function {
  case VQ_GELU:
    mapBoth(x, out, slopes, count) { x in
      let (cumulative, density) = normalDistribution(x)
      return (x * cumulative, fused(x, density, cumulative))
    }
  case VQ_GELU_TANH:
    mapBoth(x, out, slopes, count) { x in
      let (angle, slope) = geluAngle(x)
      let s = logistic(angle)
      return (x * s, s + x * (s * (1 - s)) * slope)
    }
  case VQ_SILU:
    mapBoth(x, out, slopes, count) { x in
      let s = logistic(x)
      return (x * s, s + x * (s * (1 - s)))
    }
  case VQ_MISH:
    mapBoth(x, out, slopes, count) { x in
      let t = tanhOfSoftPlus(x)
      return (x * t, t + x * logistic(x) * (1 - t * t))
    }
  case VQ_ERF:
    mapBoth(x, out, slopes, count) { x in
      (errorFunction(x), erfSlope * exponential(-x * x))
    }
  case VQ_SIN:
    mapBothOfAngles(x, out, slopes, count) { x in
      let (sine, cosine) = sineCosine(radians: x)
      return (sine, cosine)
    } far: { x in
      (sinf(x), cosf(x))
    }
  default:
    mapBothOfAngles(x, out, slopes, count) { x in
      let (sine, cosine) = sineCosine(radians: x)
      return (cosine, -sine)
    } far: { x in
      (cosf(x), -sinf(x))
    }
  }
}

/// tanh(log(1 + e^x)).
@inline(__always)
private func tanhOfSoftPlus(_ x: Float) -> Float {
  let e = exponential(x < 20 ? x : 20)
  let n = e * (e + 2)
  return x == x ? n / (n + 2) : x
}

/// `2 sqrt(2 / pi) (x + 0.044715 x^3)`, of which the logistic function is the approximate Phi(x),
/// and its slope.
@inline(__always)
private func geluAngle(_ x: Float) -> (angle: Float, slope: Float) {
  let z = x * x
  return (
    1.595_769_1 * (x * (1 + 0.044_715 * z)), 1.595_769_1 * (1 + 0.134_145 * z)
  )
}

@inline(__always)
private func map(
  _ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, _ count: Int,
  _ body: (Float) -> Float
) {
  for i in 0..<count { out[i] = body(x[i]) }
}

@inline(__always)
private func map(
  _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>,
  _ count: Int, _ body: (Float, Float) -> Float
) {
  for i in 0..<count { out[i] = body(a[i], b[i]) }
}

@inline(__always)
private func mapBoth(
  _ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>,
  _ slopes: UnsafeMutablePointer<Float>, _ count: Int, _ body: (Float) -> (Float, Float)
) {
  for i in 0..<count {
    let both = body(x[i])
    out[i] = both.0
    slopes[i] = both.1
  }
}

/// Calls `body` with blocks, and whether their angles are at most `largestAngle`.
@inline(__always)
private func forEachBlock(
  _ x: UnsafePointer<Float>, _ count: Int, _ body: (_ start: Int, _ count: Int, Bool) -> Void
) {
  var start = 0
  while start < count {
    let length = min(256, count - start)
    var isNear = true
    for i in start..<start + length { isNear = isNear && abs(x[i]) <= largestAngle }
    body(start, length, isNear)
    start += length
  }
}

@inline(__always)
private func mapAngles(
  _ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, _ count: Int,
  _ near: (Float) -> Float, far: (Float) -> Float
) {
  forEachBlock(x, count) { start, count, isNear in
    if isNear {
      map(x + start, out + start, count, near)
    } else {
      map(x + start, out + start, count, far)
    }
  }
}

@inline(__always)
private func mapBothOfAngles(
  _ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>,
  _ slopes: UnsafeMutablePointer<Float>, _ count: Int, _ near: (Float) -> (Float, Float),
  far: (Float) -> (Float, Float)
) {
  forEachBlock(x, count) { start, count, isNear in
    if isNear {
      mapBoth(x + start, out + start, slopes + start, count, near)
    } else {
      mapBoth(x + start, out + start, slopes + start, count, far)
    }
  }
}
