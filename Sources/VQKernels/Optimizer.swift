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
  let (rate, decay, momentum) = (step.rate, step.decay, step.momentum)
  parallelFor(count, grain: elementGrain) { range in
    if let buffer {
      if step.nesterov {
        for i in range {
          let g = gradient[i] + decay * parameter[i]
          let b = momentum * buffer[i] + g
          buffer[i] = b
          parameter[i] -= rate * (g + momentum * b)
        }
      } else {
        for i in range {
          let b = momentum * buffer[i] + (gradient[i] + decay * parameter[i])
          buffer[i] = b
          parameter[i] -= rate * b
        }
      }
    } else {
      for i in range { parameter[i] -= rate * (gradient[i] + decay * parameter[i]) }
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

/// `m += (1 - beta1) (g - m); v = beta2 v + (1 - beta2) g^2; p -= rate m / (sqrt(v) / correction + epsilon)`
/// with `g` after the L2 penalty and `p` after `shrink`, in one pass.
public func adam(
  _ step: AdamStep, _ parameter: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
  first: UnsafeMutablePointer<Float>, second: UnsafeMutablePointer<Float>, count: Int
) {
  let lanes = 8
  // Interpolates from the nearer end, where the rounding error is smaller.
  let fromGradient = step.firstWeight >= 0.5
  @inline(__always) func update<V: SIMD>(
    _ p: inout V, _ g: V, _ m: inout V, _ v: inout V, _ root: (V) -> V
  ) where V.Scalar == Float {
    let g = g + step.decay * p
    if fromGradient {
      m = g - (g - m) * (1 - step.firstWeight)
    } else {
      m = m + step.firstWeight * (g - m)
    }
    v = v * step.beta2 + step.secondWeight * g * g
    p = p * step.shrink - step.rate * m / (root(v) / step.correction + step.epsilon)
  }
  parallelFor(count, grain: elementGrain) { range in
    var i = range.lowerBound
    while i + lanes <= range.upperBound {
      var p = load(parameter + i)
      var m = load(first + i)
      var v = load(second + i)
      update(&p, load(gradient + i), &m, &v) { $0.squareRoot() }
      store(p, parameter + i)
      store(m, first + i)
      store(v, second + i)
      i += lanes
    }
    while i < range.upperBound {
      var p = SIMD2(parameter[i], 0)
      var m = SIMD2(first[i], 0)
      var v = SIMD2(second[i], 0)
      update(&p, SIMD2(gradient[i], 0), &m, &v) { $0.squareRoot() }
      parameter[i] = p[0]
      first[i] = m[0]
      second[i] = v[0]
      i += 1
    }
  }
}

@inline(__always)
private func load(_ pointer: UnsafePointer<Float>) -> SIMD8<Float> {
  UnsafeRawPointer(pointer).loadUnaligned(as: SIMD8<Float>.self)
}

@inline(__always)
private func store(_ value: SIMD8<Float>, _ pointer: UnsafeMutablePointer<Float>) {
  UnsafeMutableRawPointer(pointer).storeBytes(of: value, as: SIMD8<Float>.self)
}

/// Sets `rows` of a matrix with `columns` to zero.
public func clearRows(_ matrix: UnsafeMutablePointer<Float>, _ rows: [Int], columns: Int) {
  for row in rows { (matrix + row * columns).update(repeating: 0, count: columns) }
}

/// The sum of squares in Float64: chunks of fixed borders, combined in order.
public func sumOfSquares(_ values: UnsafePointer<Float>, count: Int) -> Double {
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
