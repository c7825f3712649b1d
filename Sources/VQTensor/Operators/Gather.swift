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
    return try taken("gather_rows", codes, axis: 0)
  }

  /// What stands at `positions`, int32 of any shape, along `axis`, in whose place their axes stand.
  ///
  /// - Throws: `index` for a position outside the axis.
  public func take(_ positions: Tensor, axis: Int) throws -> Tensor {
    try taken("take", positions, axis: Shape.normalize(axis, rank: rank, "take"))
  }

  /// `take` under another operator's name.
  func taken(_ operation: String, _ codes: Tensor, axis: Int) throws -> Tensor {
    let (outer, length, inner) = slices(along: axis)
    try codes.requireCodes(operation, below: length)
    let saved = Saved(codes)
    let target = Array(shape[..<axis]) + codes.shape + Array(shape[(axis + 1)...])
    return try Tensor(operation, dtype, shape: target) { out in
      VQKernels.gatherRows(
        storage.floats, codes.storage.ints, out, outer: outer, length: length, count: codes.count,
        columns: inner)
    }.recorded(operation, inputs: [self]) { [shape] g, _ in
      let codes = try saved.tensor(operation)
      let sums = try Tensor.zeros(shape)
      VQKernels.scatterAddRows(
        g.storage.floats, codes.storage.ints, sums.storage.floats, outer: outer, length: length,
        count: codes.count, columns: inner)
      return [sums]
    }
  }

  /// The elements before, along and behind `axis`: [outer, length, inner].
  func slices(along axis: Int) -> (outer: Int, length: Int, inner: Int) {
    (shape[..<axis].reduce(1, *), shape[axis], shape[(axis + 1)...].reduce(1, *))
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
