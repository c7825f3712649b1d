import VQKernels

extension Tensor {
  /// Rows of a table [k, d] by int32 `codes` of any shape: [codes.shape..., d].
  ///
  /// - Throws: `index` for a code outside `0..<k`.
  public func gatherRows(_ codes: Tensor) throws -> Tensor {
    try requireFloat("gather_rows")
    guard rank == 2 else {
      throw VQError.shape("gather_rows", [shape], "a table [k, d] is required")
    }
    let (k, d) = (shape[0], shape[1])
    try codes.requireCodes("gather_rows", below: k)
    let saved = Saved(codes)
    return try Tensor("gather_rows", shape: codes.shape + [d]) { out in
      VQKernels.gatherRows(
        storage.floats, codes.storage.ints, out, count: codes.count, columns: d)
    }.recorded("gather_rows", inputs: [self]) { g, _ in
      [try g.scatterAddRows(saved.tensor("gather_rows"), rows: k)]
    }
  }

  /// Adds the rows of this tensor [codes.shape..., d] to row `codes[i]` of zeros [k, d], in order.
  ///
  /// - Throws: `index` for a code outside `0..<k`.
  public func scatterAddRows(_ codes: Tensor, rows k: Int) throws -> Tensor {
    try requireFloat("scatter_add_rows")
    guard let d = shape.last, Array(shape.dropLast()) == codes.shape else {
      throw VQError.shape(
        "scatter_add_rows", [shape, codes.shape], "the first must be the second and a last axis")
    }
    try codes.requireCodes("scatter_add_rows", below: k)
    let saved = Saved(codes)
    let result = try Tensor.zeros([k, d])
    VQKernels.scatterAddRows(
      storage.floats, codes.storage.ints, result.storage.floats, count: codes.count, columns: d)
    return result.recorded("scatter_add_rows", inputs: [self]) { g, _ in
      [try g.gatherRows(saved.tensor("scatter_add_rows"))]
    }
  }

  /// Int32 codes as float32 rows [..., k], 1 at the code and 0 elsewhere.
  ///
  /// - Throws: `index` for a code outside `0..<k`.
  public func oneHot(_ k: Int) throws -> Tensor {
    try requireCodes("one_hot", below: k)
    return try Tensor("one_hot", shape: shape + [k]) { out in
      oneHotRows(storage.ints, out, count: count, columns: k)
    }
  }
}
