import VQKernels

extension Tensor {
  /// The same elements under another shape, sharing the storage. One axis may be -1: what is left.
  public func reshape(_ target: [Int]) throws -> Tensor {
    var resolved = target
    if let free = target.firstIndex(of: -1) {
      var known = target
      known.remove(at: free)
      let rest = try Shape.count(known, "reshape")
      guard rest > 0, count % rest == 0 else {
        throw VQError.shape(
          "reshape", [shape, target], "\(count) elements do not divide among the given axes")
      }
      resolved[free] = count / rest
    }
    guard try Shape.count(resolved, "reshape") == count else {
      throw VQError.shape(
        "reshape", [shape, target], "the number of elements must stay \(count)")
    }
    return Tensor.recorded("reshape", shape: resolved, storage: storage, inputs: [self]) {
      [shape] g, _ in [try g.reshape(shape)]
    }
  }

  /// Axis i of the result is axis `axes[i]` of this tensor.
  public func permute(_ axes: [Int]) throws -> Tensor {
    let order = try axes.map { try Shape.normalize($0, rank: rank, "permute") }
    guard order.count == rank, Set(order).count == rank else {
      throw VQError.value(
        "permute", "axes", "\(axes)", "every axis of shape \(shape) must appear once")
    }
    var inverse = [Int](repeating: 0, count: rank)
    for (position, axis) in order.enumerated() { inverse[axis] = position }
    let target = order.map { shape[$0] }
    let strides = Shape.strides(shape)
    return try Tensor("permute", dtype, shape: target) { out in
      stridedCopy(
        storage.floats, strides: order.map { strides[$0] }, out,
        outStrides: Shape.strides(target), shape: target)
    }.recorded("permute", inputs: [self]) { g, _ in [try g.permute(inverse)] }
  }

  /// The last two axes exchanged.
  public func transposed() throws -> Tensor {
    guard rank >= 2 else {
      throw VQError.shape("transpose", [shape], "at least two axes are required")
    }
    return try permute(Array(0..<(rank - 2)) + [rank - 1, rank - 2])
  }

  /// The elements `from`, `from + step`, ... below `to` along `axis`; `0 <= from <= to <= size`.
  public func slice(axis: Int, from: Int, to: Int, step: Int = 1) throws -> Tensor {
    let axis = try Shape.normalize(axis, rank: rank, "slice")
    guard 0 <= from, from <= to, to <= shape[axis] else {
      throw VQError.value(
        "slice", "range", "\(from)..<\(to)",
        "must lie in 0..<\(shape[axis]), the size of axis \(axis)")
    }
    guard step >= 1 else { throw VQError.value("slice", "step", "\(step)", "must be at least 1") }
    // A longer step than the range takes its first element alone.
    let step = Swift.min(step, Swift.max(to - from, 1))
    var target = shape
    target[axis] = (to - from + step - 1) / step
    let strides = Shape.strides(shape)
    let offset = from * strides[axis]
    var stepped = strides
    stepped[axis] *= step
    return try Tensor("slice", dtype, shape: target) { out in
      stridedCopy(
        storage.floats + offset, strides: stepped, out, outStrides: Shape.strides(target),
        shape: target)
    }.recorded(
      "slice", partOf: self, at: Region(whole: shape, offset: offset, strides: stepped))
  }

  /// The tensors one after another along `axis`; the other axes must agree.
  public static func concatenate(_ tensors: [Tensor], axis: Int) throws -> Tensor {
    guard let first = tensors.first else {
      throw VQError.value("concatenate", "tensors", "[]", "at least one is required")
    }
    let axis = try Shape.normalize(axis, rank: first.rank, "concatenate")
    var target = first.shape
    for tensor in tensors.dropFirst() {
      guard tensor.dtype == first.dtype else {
        throw VQError.type("concatenate", [first.dtype, tensor.dtype], "they must be equal")
      }
      var aligned = tensor.shape
      if tensor.rank == first.rank { aligned[axis] = first.shape[axis] }
      guard aligned == first.shape else {
        throw VQError.shape(
          "concatenate", [first.shape, tensor.shape], "all axes but axis \(axis) must be equal")
      }
      target[axis] += tensor.shape[axis]
    }
    let strides = Shape.strides(target)
    var starts: [Int] = []
    var position = 0
    for tensor in tensors {
      starts.append(position)
      position += tensor.shape[axis]
    }
    let ends = starts.dropFirst() + [position]
    return try Tensor("concatenate", first.dtype, shape: target) { out in
      for (tensor, start) in zip(tensors, starts) {
        stridedCopy(
          tensor.storage.floats, strides: Shape.strides(tensor.shape),
          out + start * strides[axis], outStrides: strides, shape: tensor.shape)
      }
    }.recorded("concatenate", inputs: tensors) { g, needs in
      try zip(needs, zip(starts, ends)).map { need, range in
        need ? try g.slice(axis: axis, from: range.0, to: range.1) : nil
      }
    }
  }

  /// The tensors, of equal shape, along a new axis.
  public static func stack(_ tensors: [Tensor], axis: Int) throws -> Tensor {
    guard let first = tensors.first else {
      throw VQError.value("stack", "tensors", "[]", "at least one is required")
    }
    let axis = try Shape.normalize(axis, rank: first.rank + 1, "stack")
    for tensor in tensors where tensor.shape != first.shape {
      throw VQError.shape("stack", [first.shape, tensor.shape], "all shapes must be equal")
    }
    var expanded = first.shape
    expanded.insert(1, at: axis)
    return try concatenate(tensors.map { try $0.reshape(expanded) }, axis: axis)
  }
}
