import VQKernels

/// `a op b` with NumPy's broadcasting, not recorded.
private func compute(
  _ kernel: BinaryKernel, _ operation: String, _ a: Tensor, _ b: Tensor
) throws -> Tensor {
  try Tensor.requireFloats(operation, a, b)
  let shape = try Shape.broadcast(a.shape, b.shape, operation)
  return try Tensor(operation, shape: shape) { out in
    binary(
      kernel, a.storage.floats, strides: Shape.broadcastStrides(a.shape, to: shape),
      b.storage.floats, strides: Shape.broadcastStrides(b.shape, to: shape), out, shape: shape)
  }
}

extension Tensor {
  public static func + (a: Tensor, b: Tensor) throws -> Tensor {
    let (a, b) = try promoted("add", a, b)
    if a.dtype.isInteger { return try integers(.add, "add", a, b) }
    return try compute(.add, "add", a, b).recorded("add", inputs: [a, b]) {
      [a = a.shape, b = b.shape] g, needs in
      [needs[0] ? try g.summed(to: a) : nil, needs[1] ? try g.summed(to: b) : nil]
    }
  }

  public static func - (a: Tensor, b: Tensor) throws -> Tensor {
    let (a, b) = try promoted("subtract", a, b)
    if a.dtype.isInteger { return try integers(.subtract, "subtract", a, b) }
    return try compute(.subtract, "subtract", a, b).recorded("subtract", inputs: [a, b]) {
      [a = a.shape, b = b.shape] g, needs in
      [needs[0] ? try g.summed(to: a) : nil, needs[1] ? try (-g).summed(to: b) : nil]
    }
  }

  public static func * (a: Tensor, b: Tensor) throws -> Tensor {
    let (a, b) = try promoted("multiply", a, b)
    if a.dtype.isInteger { return try integers(.multiply, "multiply", a, b) }
    let (x, y) = (Saved(a, where: b.requiresGrad), Saved(b, where: a.requiresGrad))
    return try compute(.multiply, "multiply", a, b).recorded("multiply", inputs: [a, b]) {
      [a = a.shape, b = b.shape] g, _ in
      [
        try y.map { try (g * $0.tensor("multiply")).summed(to: a) },
        try x.map { try (g * $0.tensor("multiply")).summed(to: b) },
      ]
    }
  }

  public static func / (a: Tensor, b: Tensor) throws -> Tensor {
    let (a, b) = (try a.exactFloats("divide"), try b.exactFloats("divide"))
    let (x, y) = (Saved(a, where: b.requiresGrad), Saved(b))
    return try compute(.divide, "divide", a, b).recorded("divide", inputs: [a, b]) {
      [shape = a.shape] g, needs in
      let b = try y.tensor("divide")
      return [
        needs[0] ? try (g / b).summed(to: shape) : nil,
        try x.map { try (-(g * $0.tensor("divide")) / (b * b)).summed(to: b.shape) },
      ]
    }
  }

  public static prefix func - (a: Tensor) throws -> Tensor {
    a.dtype.isInteger ? try a * Tensor(codes: [-1], shape: []) : try a * -1
  }

  public static func + (a: Tensor, b: Float) throws -> Tensor { try a + Tensor(scalar: b) }
  public static func - (a: Tensor, b: Float) throws -> Tensor { try a - Tensor(scalar: b) }
  public static func * (a: Tensor, b: Float) throws -> Tensor { try a * Tensor(scalar: b) }
  public static func / (a: Tensor, b: Float) throws -> Tensor { try a / Tensor(scalar: b) }

  public static func + (a: Float, b: Tensor) throws -> Tensor { try Tensor(scalar: a) + b }
  public static func - (a: Float, b: Tensor) throws -> Tensor { try Tensor(scalar: a) - b }
  public static func * (a: Float, b: Tensor) throws -> Tensor { try Tensor(scalar: a) * b }
  public static func / (a: Float, b: Tensor) throws -> Tensor { try Tensor(scalar: a) / b }
}

extension Tensor {
  /// The larger of each pair, with broadcasting; equal ones share the gradient evenly.
  public static func maximum(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    let (a, b) = try promoted("maximum", a, b)
    if a.dtype.isInteger { return try integers(.maximum, "maximum", a, b, keepsTruth: true) }
    return try extreme(.maximum, .maximumShare, "maximum", a, b)
  }

  /// The smaller of each pair, with broadcasting; equal ones share the gradient evenly.
  public static func minimum(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    let (a, b) = try promoted("minimum", a, b)
    if a.dtype.isInteger { return try integers(.minimum, "minimum", a, b, keepsTruth: true) }
    return try extreme(.minimum, .minimumShare, "minimum", a, b)
  }

  private static func extreme(
    _ kernel: BinaryKernel, _ share: BinaryKernel, _ operation: String, _ a: Tensor, _ b: Tensor
  ) throws -> Tensor {
    let (x, y) = (Saved(a), Saved(b))
    return try compute(kernel, operation, a, b).recorded(operation, inputs: [a, b]) { g, needs in
      let (a, b) = (try x.tensor(operation), try y.tensor(operation))
      return [
        needs[0] ? try (g * compute(share, operation, a, b)).summed(to: a.shape) : nil,
        needs[1] ? try (g * compute(share, operation, b, a)).summed(to: b.shape) : nil,
      ]
    }
  }
}
