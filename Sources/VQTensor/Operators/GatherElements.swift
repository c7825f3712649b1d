import VQKernels

extension Tensor {
  /// `x[..., positions[..., j, ...], ...]` along `axis`, for each element of int32 `positions`,
  /// which has as many axes and is no larger along the others.
  ///
  /// - Throws: `index` for a position outside the axis.
  public func gather(_ positions: Tensor, axis: Int) throws -> Tensor {
    let operation = "gather"
    let axis = try Shape.normalize(axis, rank: rank, operation)
    guard
      positions.rank == rank,
      shape.indices.allSatisfy({ $0 == axis || positions.shape[$0] <= shape[$0] })
    else {
      throw VQError.shape(
        operation, [shape, positions.shape],
        "the second must have as many axes, none but axis \(axis) larger")
    }
    try positions.requireCodes(operation, below: shape[axis])
    var source = self
    for other in shape.indices where other != axis && positions.shape[other] != shape[other] {
      source = try source.slice(axis: other, from: 0, to: positions.shape[other])
    }
    return try source.gathered(positions, axis: axis)
  }

  /// `gather` of positions that are checked and have the shape of this tensor, `axis` aside.
  private func gathered(_ positions: Tensor, axis: Int) throws -> Tensor {
    let (outer, length, inner) = slices(along: axis)
    let saved = Saved(positions)
    return try Tensor("gather", dtype, shape: positions.shape) { out in
      gatherElements(
        storage.floats, positions.storage.ints, out, outer: outer, length: length,
        count: positions.shape[axis], inner: inner)
    }.recorded("gather", inputs: [self]) { [shape] g, _ in
      let sums = try Tensor.zeros(shape)
      try g.scatterAdd(into: sums, at: saved.tensor("gather"), axis: axis)
      return [sums]
    }
  }

  /// Adds the elements to those of `sums`, which nothing else reads.
  private func scatterAdd(into sums: Tensor, at positions: Tensor, axis: Int) {
    let (outer, length, inner) = sums.slices(along: axis)
    scatterAddElements(
      storage.floats, positions.storage.ints, sums.storage.floats, outer: outer, length: length,
      count: positions.shape[axis], inner: inner)
  }

  /// This tensor, with each element of `source` added at its place of `positions` along `axis`:
  /// both have one shape, this one's but for `axis`.
  ///
  /// - Throws: `index` for a position outside the axis.
  public func scatterAdd(_ source: Tensor, at positions: Tensor, axis: Int) throws -> Tensor {
    let operation = "scatter_add"
    try Tensor.requireFloats(operation, self, source)
    let axis = try Shape.normalize(axis, rank: rank, operation)
    guard source.shape == positions.shape else {
      throw VQError.shape(
        operation, [source.shape, positions.shape], "source and positions must have one shape")
    }
    guard
      source.rank == rank,
      shape.indices.allSatisfy({ $0 == axis || source.shape[$0] == shape[$0] })
    else {
      throw VQError.shape(
        operation, [shape, source.shape], "they must be equal in all axes but axis \(axis)")
    }
    try positions.requireCodes(operation, below: shape[axis])
    let saved = Saved(positions)
    let result = try Tensor(operation, shape: shape) { out in
      out.update(from: storage.floats, count: count)
    }
    source.scatterAdd(into: result, at: positions, axis: axis)
    return result.recorded(operation, inputs: [self, source]) { g, needs in
      [needs[0] ? g : nil, needs[1] ? try g.gathered(saved.tensor(operation), axis: axis) : nil]
    }
  }
}
