import VQKernels

extension Tensor {
  /// The product over `axes`, all by default; 1 of no elements, int32 of integers and truths. The
  /// gradient of an element is the product of the others, be they 0 or not.
  ///
  /// - Throws: `value` for a product that int32 does not hold.
  public func prod(axes: [Int]? = nil, keepDims: Bool = false) throws -> Tensor {
    let operation = "prod"
    let axes = try Shape.axes(axes, of: shape, operation)
    let rows = try joined(axes)
    let target = Shape.reduced(shape, over: axes, keepDims: keepDims)
    if dtype.isInteger { return try rows.integerRowProducts().reshape(target) }
    return try rows.rowProducts().reshape(target)
  }

  /// With `axes` last and joined: [rows, columns].
  private func joined(_ axes: [Int]) throws -> Tensor {
    let kept = shape.indices.filter { !axes.contains($0) }
    let order = kept + axes
    let sizes = [kept, axes].map { $0.reduce(1) { $0 * shape[$1] } }
    return try (order == Array(shape.indices) ? self : permute(order)).reshape(sizes)
  }

  private func rowProducts() throws -> Tensor {
    let (rows, columns) = (shape[0], shape[1])
    let saved = Saved(self)
    return try Tensor("prod", shape: [rows]) { out in
      VQKernels.rowProducts(storage.floats, out, rows: rows, columns: columns)
    }.recorded("prod", inputs: [self]) { g, _ in
      let x = try saved.tensor("prod")
      return [
        try withFloat64Scratch(x.count) { scratch in
          try Tensor("prod", shape: x.shape) { out in
            rowProductsGradient(
              x.storage.floats, g.storage.floats, out, scratch, rows: rows, columns: columns)
          }
        }
      ]
    }
  }

  private func integerRowProducts() throws -> Tensor {
    let (rows, columns) = (shape[0], shape[1])
    return try Tensor("prod", codeShape: [rows]) { out in
      for row in 0..<rows {
        var (product, isHeld) = (1, true)
        for i in row * columns..<(row + 1) * columns {
          let element = Int(storage.ints[i])
          if element == 0 {
            (product, isHeld) = (0, true)
            break
          }
          let (next, overflow) = product.multipliedReportingOverflow(by: element)
          if overflow { isHeld = false } else { product = next }
        }
        guard isHeld, let held = Int32(exactly: product) else {
          throw VQError.value(
            "prod", "the product of row", "\(row)",
            "must fit in int32: convert with astype(float32)")
        }
        out[row] = held
      }
    }
  }

  /// `(sum of |x|^p)^(1 / p)` over `axes`, all by default; the largest |x| for an infinite p. Its
  /// gradient is 0 where the norm is, and shared evenly by the largest of an infinite p.
  ///
  /// - Throws: `value` unless p is above 0, `empty` for the largest of no elements.
  public func norm(p: Float = 2, axes: [Int]? = nil, keepDims: Bool = false) throws -> Tensor {
    let operation = "norm"
    try requireFloat(operation)
    guard p > 0 else { throw VQError.value(operation, "p", "\(p)", "must be above 0") }
    let axes = try Shape.axes(axes, of: shape, operation)
    let rows = try joined(axes)
    if p == .infinity && rows.shape[1] == 0 {
      throw VQError.empty(operation, shape, "at least one element is required along axes \(axes)")
    }
    return try rows.rowNorms(Double(p)).reshape(
      Shape.reduced(shape, over: axes, keepDims: keepDims))
  }

  private func rowNorms(_ p: Double) throws -> Tensor {
    let (rows, columns) = (shape[0], shape[1])
    let result = try Tensor("norm", shape: [rows]) { out in
      rowPNorms(storage.floats, out, rows: rows, columns: columns, p: p)
    }
    let (saved, norms) = (Saved(self), Saved(result))
    return result.recorded("norm", inputs: [self]) { g, _ in
      let (x, norms) = (try saved.tensor("norm"), try norms.tensor("norm"))
      return [
        try Tensor("norm", shape: x.shape) { out in
          rowPNormsGradient(
            x.storage.floats, norms: norms.storage.floats, g.storage.floats, out, rows: rows,
            columns: columns, p: p)
        }
      ]
    }
  }
}

extension Tensor {
  /// `prod` or `norm`, of which `parameter` is p, by its name.
  public func reduce(
    _ name: String, _ parameter: Float, axes: [Int]?, keepDims: Bool
  ) throws -> Tensor {
    switch name {
    case "prod": return try prod(axes: axes, keepDims: keepDims)
    case "norm": return try norm(p: parameter, axes: axes, keepDims: keepDims)
    default: throw VQError.value("reduce", "function", "'\(name)'", "it must be prod or norm")
    }
  }
}
