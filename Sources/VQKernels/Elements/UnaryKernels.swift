import Glibc

/// One-operand element kernels.
public enum UnaryKernel {
  case exp, log, sqrt, tanh, sigmoid, relu, gelu, silu, abs, square
  case clamp(minimum: Float, maximum: Float)
  case power(Float)

  /// Whether the gradient is computed from the result rather than from the operand.
  public var savesResult: Bool {
    switch self {
    case .exp, .sqrt, .tanh, .sigmoid, .relu: true
    default: false
    }
  }
}

/// `out[i] = f(x[i])`.
public func unary(
  _ kernel: UnaryKernel, _ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, count: Int
) {
  parallelFor(count, grain: elementGrain) { range in
    unaryRow(kernel, x + range.lowerBound, out + range.lowerBound, range.count)
  }
}

private func unaryRow(
  _ kernel: UnaryKernel, _ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, _ count: Int
) {
  switch kernel {
  case .exp: map(x, out, count, exponential)
  case .log: map(x, out, count, logarithm)
  case .sqrt: map(x, out, count) { $0.squareRoot() }
  case .tanh: map(x, out, count, hyperbolicTangent)
  case .sigmoid: map(x, out, count, logistic)
  case .relu: map(x, out, count) { $0 < 0 ? 0 : $0 }
  case .gelu: map(x, out, count) { $0 * normalDistribution($0).cumulative }
  case .silu: map(x, out, count) { $0 * logistic($0) }
  case .abs: map(x, out, count) { Swift.abs($0) }
  case .square: map(x, out, count) { $0 * $0 }
  case .clamp(let minimum, let maximum):
    map(x, out, count) { $0 < minimum ? minimum : ($0 > maximum ? maximum : $0) }
  case .power(2): map(x, out, count) { $0 * $0 }
  case .power(3): map(x, out, count) { $0 * $0 * $0 }
  case .power(-1): map(x, out, count) { 1 / $0 }
  case .power(let exponent): map(x, out, count) { powf($0, exponent) }
  }
}

/// `out[i] = g[i] f'(x[i])`, where `saved` holds the result or the operand as `savesResult` says.
public func unaryGradient(
  _ kernel: UnaryKernel, _ saved: UnsafePointer<Float>, _ g: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>, count: Int
) {
  parallelFor(count, grain: elementGrain) { range in
    let start = range.lowerBound
    unaryGradientRow(kernel, saved + start, g + start, out + start, range.count)
  }
}

private func unaryGradientRow(
  _ kernel: UnaryKernel, _ saved: UnsafePointer<Float>, _ g: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>, _ count: Int
) {
  switch kernel {
  case .exp: map(saved, g, out, count) { y, g in g * y }
  case .log: map(saved, g, out, count) { x, g in g / x }
  case .sqrt: map(saved, g, out, count) { y, g in g * 0.5 / y }
  case .tanh: map(saved, g, out, count) { y, g in g * (1 - y * y) }
  case .sigmoid: map(saved, g, out, count) { y, g in g * (y * (1 - y)) }
  case .relu: map(saved, g, out, count) { y, g in y > 0 ? g : 0 }
  case .gelu:
    map(saved, g, out, count) { x, g in
      let (cumulative, density) = normalDistribution(x)
      return g * (cumulative + x * density)
    }
  case .silu:
    map(saved, g, out, count) { x, g in
      let s = logistic(x)
      return g * (s + x * (s * (1 - s)))
    }
  case .abs: map(saved, g, out, count) { x, g in x > 0 ? g : (x < 0 ? -g : 0) }
  case .square: map(saved, g, out, count) { x, g in g * (2 * x) }
  case .clamp(let minimum, let maximum):
    map(saved, g, out, count) { x, g in x >= minimum && x <= maximum ? g : 0 }
  case .power(0): map(saved, g, out, count) { _, _ in 0 }
  case .power(2): map(saved, g, out, count) { x, g in g * (2 * x) }
  case .power(3): map(saved, g, out, count) { x, g in g * (3 * x * x) }
  case .power(-1): map(saved, g, out, count) { x, g in -g / (x * x) }
  case .power(let exponent):
    map(saved, g, out, count) { x, g in g * (exponent * powf(x, exponent - 1)) }
  }
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
