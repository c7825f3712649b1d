/// Constants of one step of gradient descent with momentum.
public struct GradientDescentStep {
  public var rate: Float
  /// L2 penalty, added to the gradient.
  public var decay: Float
  public var momentum: Float
  public var nesterov: Bool

  public init(rate: Float, decay: Float, momentum: Float, nesterov: Bool) {
    self.rate = rate
    self.decay = decay
    self.momentum = momentum
    self.nesterov = nesterov
  }
}

/// `g += decay p; b = momentum b + g; p -= rate (nesterov ? g + momentum b : b)`, and
/// `p -= rate g` when there is no momentum `buffer`.
public func gradientDescent(
  _ step: GradientDescentStep, _ parameter: UnsafeMutablePointer<Float>,
  gradient: UnsafePointer<Float>, buffer: UnsafeMutablePointer<Float>?, count: Int
) {
  parallelFor(count, grain: elementGrain) { range in
    let start = range.lowerBound
    if let buffer {
      descend(step, parameter + start, gradient + start, buffer + start, range.count)
    } else {
      descend(step, parameter + start, gradient + start, range.count)
    }
  }
}

private func descend(
  _ step: GradientDescentStep, _ p: UnsafeMutablePointer<Float>, _ g: UnsafePointer<Float>,
  _ count: Int
) {
  let (rate, decay) = (step.rate, step.decay)
  for i in 0..<count { p[i] -= rate * (g[i] + decay * p[i]) }
}

private func descend(
  _ step: GradientDescentStep, _ p: UnsafeMutablePointer<Float>, _ g: UnsafePointer<Float>,
  _ b: UnsafeMutablePointer<Float>, _ count: Int
) {
  let (rate, decay, momentum) = (step.rate, step.decay, step.momentum)
  if step.nesterov {
    for i in 0..<count {
      let gradient = g[i] + decay * p[i]
      let velocity = momentum * b[i] + gradient
      b[i] = velocity
      p[i] -= rate * (gradient + momentum * velocity)
    }
  } else {
    for i in 0..<count {
      let velocity = momentum * b[i] + (g[i] + decay * p[i])
      b[i] = velocity
      p[i] -= rate * velocity
    }
  }
}

/// Constants of one step of Adam.
public struct AdamStep {
  /// Learning rate over the bias correction of the first moment.
  public var rate: Float
  /// L2 penalty, added to the gradient (Adam).
  public var decay: Float
  /// Factor on the parameter before the step (AdamW): `1 - rate * decay`.
  public var shrink: Float
  /// `1 - beta1`
  public var firstWeight: Float
  public var beta2: Float
  /// `1 - beta2`
  public var secondWeight: Float
  /// Square root of the bias correction of the second moment.
  public var correction: Float
  public var epsilon: Float

  public init(
    rate: Float, decay: Float, shrink: Float, firstWeight: Float, beta2: Float,
    secondWeight: Float, correction: Float, epsilon: Float
  ) {
    self.rate = rate
    self.decay = decay
    self.shrink = shrink
    self.firstWeight = firstWeight
    self.beta2 = beta2
    self.secondWeight = secondWeight
    self.correction = correction
    self.epsilon = epsilon
  }
}

/// `m += (1 - beta1) (g - m); v = beta2 v + (1 - beta2) g^2; p -= rate m / (sqrt(v) / correction +
/// epsilon)` with `g` after the L2 penalty and `p` after `shrink`, in one pass.
public func adam(
  _ step: AdamStep, _ parameter: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
  first: UnsafeMutablePointer<Float>, second: UnsafeMutablePointer<Float>, count: Int
) {
  parallelFor(count, grain: elementGrain) { range in
    let start = range.lowerBound
    adamRow(
      step, parameter + start, gradient + start, first + start, second + start, range.count)
  }
}

private func adamRow(
  _ step: AdamStep, _ p: UnsafeMutablePointer<Float>, _ gradient: UnsafePointer<Float>,
  _ m: UnsafeMutablePointer<Float>, _ v: UnsafeMutablePointer<Float>, _ count: Int
) {
  // Plain Swift vectors take square roots one by one; this loop vectorises whole.
  let (rate, decay, shrink) = (step.rate, step.decay, step.shrink)
  let (beta2, secondWeight, epsilon) = (step.beta2, step.secondWeight, step.epsilon)
  let scale = 1 / step.correction
  let toward = Interpolation(step.firstWeight)
  for i in 0..<count {
    let g = gradient[i] + decay * p[i]
    let first = toward(m[i], g)
    let second = v[i] * beta2 + secondWeight * g * g
    m[i] = first
    v[i] = second
    p[i] = p[i] * shrink - rate * first / (second.squareRoot() * scale + epsilon)
  }
}

@inline(__always)
private func load(_ pointer: UnsafePointer<Float>) -> SIMD8<Float> {
  UnsafeRawPointer(pointer).loadUnaligned(as: SIMD8<Float>.self)
}

/// Sets `rows` of a matrix with `columns` to `value`.
public func clearRows(
  _ matrix: UnsafeMutablePointer<Float>, _ rows: [Int], columns: Int, to value: Float = 0
) {
  for row in rows { (matrix + row * columns).update(repeating: value, count: columns) }
}

/// `from + weight (to - from)`, taken from the nearer end, where the rounding error is smaller.
struct Interpolation {
  private let isNear: Bool
  private let weight: Float

  init(_ weight: Float) {
    isNear = weight < 0.5
    self.weight = isNear ? weight : weight - 1
  }

  @inline(__always)
  func callAsFunction(_ from: Float, _ to: Float) -> Float {
    (isNear ? from : to) + weight * (to - from)
  }
}

/// The sum of squares in Float64: chunks of fixed borders, combined in order.
public func squaredNorm(_ values: UnsafePointer<Float>, count: Int) -> Double {
  let chunks = (count + elementGrain - 1) / elementGrain
  return withUnsafeTemporaryAllocation(of: Double.self, capacity: max(chunks, 1)) { partials in
    let partials = partials.baseAddress!
    parallelFor(count, grain: elementGrain) { range in
      var sums = SIMD8<Double>()
      var i = range.lowerBound
      while i + 8 <= range.upperBound {
        let x = SIMD8<Double>(load(values + i))
        sums += x * x
        i += 8
      }
      var sum = sums.sum()
      while i < range.upperBound {
        sum += Double(values[i]) * Double(values[i])
        i += 1
      }
      partials[range.lowerBound / elementGrain] = sum
    }
    var total = 0.0
    for chunk in 0..<chunks { total += partials[chunk] }
    return total
  }
}

/// `out[i] = factor x[i]`, the product in Float64.
public func scale(
  _ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, count: Int, by factor: Double
) {
  parallelFor(count, grain: elementGrain) { range in
    for i in range { out[i] = Float(Double(x[i]) * factor) }
  }
}
