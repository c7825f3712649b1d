import VQKernels

extension Tensor {
  /// `f(x)` of every element, with its gradient.
  private func mapped(_ kernel: UnaryKernel, _ operation: String) throws -> Tensor {
    try requireFloat(operation)
    if kernel.savesSlopes, requiresGrad, gradientsAreRecorded {
      return try mappedWithSlopes(kernel, operation)
    }
    let result = try Tensor(operation, shape: shape) { out in
      unary(kernel, storage.floats, out, count: count)
    }
    let saved = Saved(kernel.savesResult ? result : self)
    return result.recorded(operation, inputs: [self]) { g, _ in
      let value = try saved.tensor(operation)
      return [
        try Tensor(operation, shape: g.shape) { out in
          unaryGradient(kernel, value.storage.floats, g.storage.floats, out, count: g.count)
        }
      ]
    }
  }

  private func mappedWithSlopes(_ kernel: UnaryKernel, _ operation: String) throws -> Tensor {
    let slopes = try Tensor.uninitialized(.float32, shape)
    let result = try Tensor(operation, shape: shape) { out in
      unaryWithSlopes(kernel, storage.floats, out, slopes.storage.floats, count: count)
    }
    return result.recorded(operation, inputs: [self]) { g, _ in [try g * slopes] }
  }

  public func exp() throws -> Tensor { try mapped(.exp, "exp") }
  public func log() throws -> Tensor { try mapped(.log, "log") }
  public func log2() throws -> Tensor { try mapped(.log2, "log2") }
  public func log10() throws -> Tensor { try mapped(.log10, "log10") }

  /// `log(1 + x)`, exact where x is small.
  public func log1p() throws -> Tensor { try mapped(.log1p, "log1p") }

  /// `e^x - 1`, exact where x is small.
  public func expm1() throws -> Tensor { try mapped(.expm1, "expm1") }
  public func sqrt() throws -> Tensor { try mapped(.sqrt, "sqrt") }

  /// `1 / sqrt(x)`.
  public func rsqrt() throws -> Tensor { try mapped(.rsqrt, "rsqrt") }
  public func sin() throws -> Tensor { try mapped(.sin, "sin") }
  public func cos() throws -> Tensor { try mapped(.cos, "cos") }
  public func tanh() throws -> Tensor { try mapped(.tanh, "tanh") }

  /// The error function.
  public func erf() throws -> Tensor { try mapped(.erf, "erf") }

  /// `1 / (1 + e^-x)`.
  public func sigmoid() throws -> Tensor { try mapped(.sigmoid, "sigmoid") }

  /// `log(sigmoid(x))`.
  public func logSigmoid() throws -> Tensor { try mapped(.logSigmoid, "log_sigmoid") }

  /// `log(1 + e^(beta x)) / beta`.
  public func softplus(beta: Float = 1) throws -> Tensor {
    guard beta > 0, beta < .infinity else {
      throw VQError.value("softplus", "beta", "\(beta)", "must be finite and above 0")
    }
    return try mapped(.softplus(beta), "softplus")
  }

  /// `x / (1 + |x|)`.
  public func softsign() throws -> Tensor { try mapped(.softsign, "softsign") }

  /// `max(x, 0)`; the gradient at 0 is 0.
  public func relu() throws -> Tensor { try mapped(.relu, "relu") }

  /// x, `slope` times x below 0.
  public func leakyReLU(slope: Float = 0.01) throws -> Tensor {
    try mapped(.leakyReLU(slope), "leaky_relu")
  }

  /// x, `alpha (e^x - 1)` below 0.
  public func elu(alpha: Float = 1) throws -> Tensor { try mapped(.elu(alpha), "elu") }

  /// x, `alpha (e^(x / alpha) - 1)` below 0.
  public func celu(alpha: Float = 1) throws -> Tensor {
    guard alpha != 0, alpha.isFinite else {
      throw VQError.value("celu", "alpha", "\(alpha)", "must be finite and not 0")
    }
    return try mapped(.celu(alpha), "celu")
  }

  /// The ELU that keeps mean 0 and variance 1 (Klambauer et al. 2017).
  public func selu() throws -> Tensor { try mapped(.selu, "selu") }

  /// `x P(X <= x)` for a standard normal X: the exact form, not the tanh approximation.
  public func gelu() throws -> Tensor { try mapped(.gelu, "gelu") }

  /// `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`, the approximation of `gelu`.
  public func geluTanh() throws -> Tensor { try mapped(.geluTanh, "gelu_tanh") }

  /// `x sigmoid(x)`.
  public func silu() throws -> Tensor { try mapped(.silu, "silu") }

  /// `x tanh(softplus(x))`.
  public func mish() throws -> Tensor { try mapped(.mish, "mish") }

  /// `x clamp(x + 3, 0, 6) / 6`.
  public func hardswish() throws -> Tensor { try mapped(.hardswish, "hardswish") }

  /// `clamp(x + 3, 0, 6) / 6`.
  public func hardsigmoid() throws -> Tensor { try mapped(.hardsigmoid, "hardsigmoid") }

  /// `|x|`; the gradient at 0 is 0.
  public func abs() throws -> Tensor {
    dtype.isInteger ? try Tensor.maximum(self, -self) : try mapped(.abs, "abs")
  }

  /// 1, 0 or -1; its gradient is 0, as are those of `floor`, `ceil` and `round`.
  public func sign() throws -> Tensor { try mapped(.sign, "sign") }
  public func floor() throws -> Tensor { try mapped(.floor, "floor") }
  public func ceil() throws -> Tensor { try mapped(.ceil, "ceil") }

  /// The nearest integer, the even one of two.
  public func round() throws -> Tensor { try mapped(.round, "round") }

  public func square() throws -> Tensor {
    dtype.isInteger ? try self * self : try mapped(.square, "square")
  }

  /// `x^exponent`; NaN for a negative base and a fractional exponent.
  public func pow(_ exponent: Float) throws -> Tensor { try mapped(.power(exponent), "pow") }

  /// Confines every element to `minimum...maximum`; the gradient is 0 outside.
  ///
  /// - Throws: `misuse` without a bound, `value` for a minimum above the maximum or a NaN.
  public func clamp(minimum: Float? = nil, maximum: Float? = nil) throws -> Tensor {
    guard minimum != nil || maximum != nil else {
      throw VQError.misuse("clamp", "a minimum or a maximum is required")
    }
    let (low, high) = (minimum ?? -.infinity, maximum ?? .infinity)
    guard low <= high else {
      throw VQError.value("clamp", "minimum", "\(low)", "must not exceed the maximum \(high)")
    }
    return try mapped(.clamp(minimum: low, maximum: high), "clamp")
  }
}

// MARK: - By name

extension Tensor {
  /// A function of each element, and its parameter where it has one.
  private typealias Function = (Tensor, _ parameter: Float) throws -> Tensor

  private static let functions: [String: Function] = [
    "exp": { x, _ in try x.exp() }, "log": { x, _ in try x.log() },
    "log2": { x, _ in try x.log2() }, "log10": { x, _ in try x.log10() },
    "log1p": { x, _ in try x.log1p() }, "expm1": { x, _ in try x.expm1() },
    "sqrt": { x, _ in try x.sqrt() }, "rsqrt": { x, _ in try x.rsqrt() },
    "sin": { x, _ in try x.sin() }, "cos": { x, _ in try x.cos() },
    "tanh": { x, _ in try x.tanh() }, "erf": { x, _ in try x.erf() },
    "sigmoid": { x, _ in try x.sigmoid() }, "log_sigmoid": { x, _ in try x.logSigmoid() },
    "softplus": { try $0.softplus(beta: $1) }, "softsign": { x, _ in try x.softsign() },
    "relu": { x, _ in try x.relu() }, "leaky_relu": { try $0.leakyReLU(slope: $1) },
    "elu": { try $0.elu(alpha: $1) }, "celu": { try $0.celu(alpha: $1) },
    "selu": { x, _ in try x.selu() }, "gelu": { x, _ in try x.gelu() },
    "gelu_tanh": { x, _ in try x.geluTanh() }, "silu": { x, _ in try x.silu() },
    "mish": { x, _ in try x.mish() }, "hardswish": { x, _ in try x.hardswish() },
    "hardsigmoid": { x, _ in try x.hardsigmoid() }, "abs": { x, _ in try x.abs() },
    "sign": { x, _ in try x.sign() }, "floor": { x, _ in try x.floor() },
    "ceil": { x, _ in try x.ceil() }, "round": { x, _ in try x.round() },
    "square": { x, _ in try x.square() }, "pow": { try $0.pow($1) },
    "negate": { x, _ in try -x },
  ]

  /// The names that `function` takes.
  public static let functionNames: [String] = functions.keys.sorted()

  /// The function of that name of each element; `parameter` is its one, such as alpha, and is
  /// passed over by those without.
  public func function(_ name: String, _ parameter: Float) throws -> Tensor {
    guard let function = Tensor.functions[name] else {
      throw VQError.value(
        "unary", "function", "'\(name)'", "it must be one of \(Tensor.functionNames)")
    }
    return try function(self, parameter)
  }
}
