import VQKernels

extension Tensor {
  /// `f(x)` of every element, with its gradient.
  private func mapped(_ kernel: UnaryKernel, _ operation: String) throws -> Tensor {
    try requireFloat(operation)
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

  public func exp() throws -> Tensor { try mapped(.exp, "exp") }
  public func log() throws -> Tensor { try mapped(.log, "log") }
  public func sqrt() throws -> Tensor { try mapped(.sqrt, "sqrt") }
  public func tanh() throws -> Tensor { try mapped(.tanh, "tanh") }

  /// `1 / (1 + e^-x)`.
  public func sigmoid() throws -> Tensor { try mapped(.sigmoid, "sigmoid") }

  /// `max(x, 0)`; the gradient at 0 is 0.
  public func relu() throws -> Tensor { try mapped(.relu, "relu") }

  /// `x P(X <= x)` for a standard normal X: the exact form, not the tanh approximation.
  public func gelu() throws -> Tensor { try mapped(.gelu, "gelu") }

  /// `x sigmoid(x)`.
  public func silu() throws -> Tensor { try mapped(.silu, "silu") }

  /// `|x|`; the gradient at 0 is 0.
  public func abs() throws -> Tensor {
    dtype.isInteger ? try Tensor.maximum(self, -self) : try mapped(.abs, "abs")
  }

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
