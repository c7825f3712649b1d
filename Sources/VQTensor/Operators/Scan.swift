import VQKernels

extension Tensor {
  /// The sum of each element and those before it along `axis`; of integers and truths int32.
  ///
  /// - Throws: `value` for a sum that int32 does not hold.
  public func cumsum(axis: Int) throws -> Tensor {
    let operation = "cumsum"
    let axis = try Shape.normalize(axis, rank: rank, operation)
    if dtype.isInteger { return try integerScan(.sum, operation, axis) }
    return try scanned(.sum, operation, axis).recorded(operation, inputs: [self]) { g, _ in
      [try g.scanned(.sum, operation, axis, reversed: true)]
    }
  }

  /// The product of each element and those before it along `axis`; of integers and truths int32.
  ///
  /// - Throws: `value` for a product that int32 does not hold.
  public func cumprod(axis: Int) throws -> Tensor {
    let operation = "cumprod"
    let axis = try Shape.normalize(axis, rank: rank, operation)
    if dtype.isInteger { return try integerScan(.product, operation, axis) }
    let saved = Saved(self)
    return try scanned(.product, operation, axis).recorded(operation, inputs: [self]) { g, _ in
      let x = try saved.tensor(operation)
      let (outer, length, inner) = x.slices(along: axis)
      return [
        try withFloat64Scratch(x.count) { scratch in
          try Tensor(operation, shape: x.shape) { out in
            scannedProductGradient(
              x.storage.floats, g.storage.floats, out, scratch, outer: outer, length: length,
              inner: inner)
          }
        }
      ]
    }
  }

  private func scanned(
    _ kernel: ScanKernel, _ operation: String, _ axis: Int, reversed: Bool = false
  ) throws -> Tensor {
    let (outer, length, inner) = slices(along: axis)
    return try Tensor(operation, shape: shape) { out in
      VQKernels.scan(
        kernel, storage.floats, out, outer: outer, length: length, inner: inner, reversed: reversed)
    }
  }

  private func integerScan(
    _ kernel: ScanKernel, _ operation: String, _ axis: Int
  ) throws -> Tensor {
    let (outer, length, inner) = slices(along: axis)
    return try Tensor(operation, codeShape: shape) { out in
      if count == 0 { return }
      let failure = VQKernels.integerScan(
        kernel, storage.ints, out, outer: outer, length: length, inner: inner)
      if let position = failure {
        throw VQError.value(
          operation, "element", "\(position)",
          "its result must fit in int32: convert with astype(float32)")
      }
    }
  }
}

/// Calls `body` with memory for `count` Float64.
func withFloat64Scratch<Result>(
  _ count: Int, _ body: (UnsafeMutablePointer<Double>) throws -> Result
) throws -> Result {
  let storage = try Storage(.float32, count: 2 * count)
  return try withExtendedLifetime(storage) {
    try storage.base.withMemoryRebound(to: Double.self, capacity: count, body)
  }
}

extension Tensor {
  /// `cumsum` or `cumprod` by its name.
  public func scan(_ name: String, axis: Int) throws -> Tensor {
    switch name {
    case "cumsum": return try cumsum(axis: axis)
    case "cumprod": return try cumprod(axis: axis)
    default:
      throw VQError.value("scan", "function", "'\(name)'", "it must be cumsum or cumprod")
    }
  }
}
