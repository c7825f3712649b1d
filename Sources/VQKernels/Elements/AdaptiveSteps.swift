/// Constants of one step of RMSprop.
public struct RMSpropStep {
  public var rate: Float
  /// L2 penalty, added to the gradient.
  public var decay: Float
  public var alpha: Float
  /// `1 - alpha`
  public var weight: Float
  public var momentum: Float
  public var epsilon: Float

  public init(
    rate: Float, decay: Float, alpha: Float, weight: Float, momentum: Float, epsilon: Float
  ) {
    self.rate = rate
    self.decay = decay
    self.alpha = alpha
    self.weight = weight
    self.momentum = momentum
    self.epsilon = epsilon
  }
}

/// `g += decay p; v = alpha v + (1 - alpha) g^2; u = g / (sqrt(v) + epsilon); p -= rate u`.
///
/// With `means`, `a += (1 - alpha) (g - a)` and `v - a^2` stands under the root, 0 where rounding
/// makes it negative; with a `buffer`, `b = momentum b + u` stands for u.
public func rmsprop(
  _ step: RMSpropStep, _ parameter: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
  squares: UnsafeMutablePointer<Float>, means: UnsafeMutablePointer<Float>?,
  buffer: UnsafeMutablePointer<Float>?, count: Int
) {
  let toward = Interpolation(step.weight)
  parallelFor(count, grain: elementGrain) { range in
    for i in range {
      let g = gradient[i] + step.decay * parameter[i]
      let square = squares[i] * step.alpha + step.weight * g * g
      squares[i] = square
      var spread = square
      if let means {
        let mean = toward(means[i], g)
        means[i] = mean
        // Infinite squares stay so: what they divide is 0.
        spread = mean * mean < .infinity ? max(square - mean * mean, 0) : square
      }
      var change = g / (spread.squareRoot() + step.epsilon)
      if let buffer {
        change += step.momentum * buffer[i]
        buffer[i] = change
      }
      parameter[i] -= step.rate * change
    }
  }
}

/// `g += decay p; s += g^2; p -= rate g / (sqrt(s) + epsilon)`.
public func adagrad(
  rate: Float, decay: Float, epsilon: Float, _ parameter: UnsafeMutablePointer<Float>,
  gradient: UnsafePointer<Float>, sum: UnsafeMutablePointer<Float>, count: Int
) {
  parallelFor(count, grain: elementGrain) { range in
    for i in range {
      let g = gradient[i] + decay * parameter[i]
      sum[i] += g * g
      parameter[i] -= rate * g / (sum[i].squareRoot() + epsilon)
    }
  }
}

/// Constants of one step of Lion.
public struct LionStep {
  public var rate: Float
  /// Factor on the parameter before the step: `1 - rate * decay`.
  public var shrink: Float
  /// `1 - beta1`, the gradient's share of the direction.
  public var directionWeight: Float
  /// `1 - beta2`, its share of the moment.
  public var momentWeight: Float

  public init(rate: Float, shrink: Float, directionWeight: Float, momentWeight: Float) {
    self.rate = rate
    self.shrink = shrink
    self.directionWeight = directionWeight
    self.momentWeight = momentWeight
  }
}

/// `p = shrink p - rate sign(beta1 m + (1 - beta1) g); m = beta2 m + (1 - beta2) g`, the sign of 0
/// being 0.
public func lion(
  _ step: LionStep, _ parameter: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
  moment: UnsafeMutablePointer<Float>, count: Int
) {
  let (direction, next) = (Interpolation(step.directionWeight), Interpolation(step.momentWeight))
  parallelFor(count, grain: elementGrain) { range in
    for i in range {
      let (m, g) = (moment[i], gradient[i])
      let toward = direction(m, g)
      // 0 and NaN are their own signs.
      let sign: Float = toward > 0 ? 1 : (toward < 0 ? -1 : toward)
      parameter[i] = parameter[i] * step.shrink - step.rate * sign
      moment[i] = next(m, g)
    }
  }
}

/// `out = b` with `b = m + (1 - momentum) (g - m)`, or with Nesterov's look-ahead
/// `g + momentum (b - g)`: the direction of Muon before it is made orthogonal.
public func muonDirection(
  momentum: Float, weight: Float, nesterov: Bool, gradient: UnsafePointer<Float>,
  moment: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, count: Int
) {
  let (next, ahead) = (Interpolation(weight), Interpolation(momentum))
  parallelFor(count, grain: elementGrain) { range in
    for i in range {
      let b = next(moment[i], gradient[i])
      out[i] = nesterov ? ahead(gradient[i], b) : b
    }
  }
}

/// `m += (1 - momentum) (g - m); p = shrink p - rate direction`.
public func muon(
  rate: Float, shrink: Float, weight: Float, _ parameter: UnsafeMutablePointer<Float>,
  gradient: UnsafePointer<Float>, moment: UnsafeMutablePointer<Float>,
  direction: UnsafePointer<Float>, count: Int
) {
  let next = Interpolation(weight)
  parallelFor(count, grain: elementGrain) { range in
    for i in range {
      moment[i] = next(moment[i], gradient[i])
      parameter[i] = parameter[i] * shrink - rate * direction[i]
    }
  }
}
