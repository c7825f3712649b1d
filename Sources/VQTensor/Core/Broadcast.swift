import VQKernels

extension Tensor {
  /// Repeats axes of size 1 (and missing leading ones) up to `target`.
  public func broadcast(to target: [Int]) throws -> Tensor {
    guard try Shape.broadcast(shape, target, "broadcast_to") == target else {
      throw VQError.shape(
        "broadcast_to", [shape, target], "the first must broadcast to the second")
    }
    if shape == target { return self }
    return try Tensor("broadcast_to", dtype, shape: target) { out in
      stridedCopy(
        storage.floats, strides: Shape.broadcastStrides(shape, to: target), out,
        outStrides: Shape.strides(target), shape: target)
    }.recorded("broadcast_to", inputs: [self]) { [shape] g, _ in [try g.summed(to: shape)] }
  }

  /// Sums over the axes that broadcasting `target` to this shape repeats: the pullback of
  /// broadcasting.
  func summed(to target: [Int]) throws -> Tensor {
    if shape == target { return detached() }
    let offset = rank - target.count
    let repeated = shape.indices.filter { $0 < offset || target[$0 - offset] != shape[$0] }
    return Tensor(shape: target, storage: try sumStorage("sum", over: repeated, scale: 1))
  }
}
