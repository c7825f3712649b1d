import VQKernels

/// `a op b` with NumPy's broadcasting, not recorded.
private func compute(
  _ kernel: BinaryKernel, _ operation: String, _ a: Tensor, _ b: Tensor
) throws -> Tensor {
  guard a.dtype == .float32, b.dtype == .float32 else {
    throw VQError.type(operation, [a.dtype, b.dtype], "float32 is required")
  }
  let shape = try Shape.broadcast(a.shape, b.shape, operation)
  return try Tensor(operation, shape: shape) { out in
    let count = shape.reduce(1, *)
    guard count > 0 else { return }
    let (x, y) = (a.storage.floats, b.storage.floats)
    if a.count == count && b.count == count {
      binary(kernel, x, y, out, count: count)
    } else if a.count == count && b.count == 1 {
      binary(kernel, x, y, bStride: 0, out, count: count)
    } else if a.count == 1 && b.count == count {
      binary(kernel, x, aStride: 0, y, out, count: count)
    } else if a.count == count && Array(b.shape.drop { $0 == 1 }) == Array(shape.suffix(b.shape.drop { $0 == 1 }.count)) {
      binaryRows(kernel, x, y, out, rows: count / b.count, columns: b.count)
    } else {
      binary(
        kernel, try a.broadcast(to: shape).storage.floats,
        try b.broadcast(to: shape).storage.floats, out, count: count)
    }
  }
}

extension Tensor {
  public static func + (a: Tensor, b: Tensor) throws -> Tensor {
    try compute(.add, "add", a, b).recorded("add", inputs: [a, b]) { g, needs in
      [needs[0] ? try g.summed(to: a.shape) : nil, needs[1] ? try g.summed(to: b.shape) : nil]
    }
  }

  public static func - (a: Tensor, b: Tensor) throws -> Tensor {
    try compute(.subtract, "subtract", a, b).recorded("subtract", inputs: [a, b]) { g, needs in
      [needs[0] ? try g.summed(to: a.shape) : nil, needs[1] ? try (-g).summed(to: b.shape) : nil]
    }
  }

  public static func * (a: Tensor, b: Tensor) throws -> Tensor {
    let (x, y) = (Saved(a), Saved(b))
    return try compute(.multiply, "multiply", a, b).recorded("multiply", inputs: [a, b]) { g, needs in
      let (a, b) = (try x.tensor("multiply"), try y.tensor("multiply"))
      return [
        needs[0] ? try (g * b).summed(to: a.shape) : nil,
        needs[1] ? try (g * a).summed(to: b.shape) : nil,
      ]
    }
  }

  public static func / (a: Tensor, b: Tensor) throws -> Tensor {
    let (x, y) = (Saved(a), Saved(b))
    return try compute(.divide, "divide", a, b).recorded("divide", inputs: [a, b]) { g, needs in
      let (a, b) = (try x.tensor("divide"), try y.tensor("divide"))
      return [
        needs[0] ? try (g / b).summed(to: a.shape) : nil,
        needs[1] ? try (-(g * a) / (b * b)).summed(to: b.shape) : nil,
      ]
    }
  }

  public static prefix func - (a: Tensor) throws -> Tensor { try a * -1 }

  public static func + (a: Tensor, b: Float) throws -> Tensor { try a + Tensor(scalar: b) }
  public static func - (a: Tensor, b: Float) throws -> Tensor { try a - Tensor(scalar: b) }
  public static func * (a: Tensor, b: Float) throws -> Tensor { try a * Tensor(scalar: b) }
  public static func / (a: Tensor, b: Float) throws -> Tensor { try a / Tensor(scalar: b) }
}
