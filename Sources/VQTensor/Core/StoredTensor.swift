import VQKernels

/// An immutable, contiguous, row-major array of elements of any type, as it is stored and saved.
///
/// Operators compute with `Tensor`, its subclass; of halves (float16, bfloat16) with what `widened`
/// gives.
public class StoredTensor {
  public final let shape: [Int]
  public internal(set) final var storage: Storage
  final let node: Node?

  public final var dtype: DType { storage.dtype }
  public final var rank: Int { shape.count }
  public final var count: Int { storage.count }
  public final var byteCount: Int { count * dtype.byteCount }
  public final var bytes: UnsafeMutableRawPointer { storage.base }
  public final var requiresGrad: Bool { tapeNode != nil }

  /// Where gradients go.
  var tapeNode: Node? { node }

  init(shape: [Int], storage: Storage, node: Node? = nil) {
    self.shape = shape
    self.storage = storage
    self.node = node
  }

  /// Uninitialized halves, or a Tensor of another element type.
  public static func uninitialized(
    anyOf dtype: DType, _ shape: [Int]
  ) throws -> StoredTensor {
    guard dtype.half != nil else { return try Tensor.uninitialized(dtype, shape) }
    return StoredTensor(
      shape: shape, storage: try Storage(dtype, count: Shape.count(shape, "tensor")))
  }

  /// The same values, cut from the tape.
  public func detached() -> StoredTensor { StoredTensor(shape: shape, storage: storage) }

  /// Halves as float32, exactly; a Tensor is itself.
  public func widened() throws -> Tensor {
    guard let format = dtype.half else {
      throw VQError.type("astype", [dtype], "float16 or bfloat16 is required")
    }
    let operation = "astype"
    let result = try Tensor(operation, shape: shape) {
      widen(storage.halves, from: format, $0, count: count)
    }
    guard gradientsAreRecorded, let node else { return result }
    return Tensor(
      shape: shape, storage: result.storage,
      node: Node(operation, inputs: [node]) { g, _ in [g] })
  }

  /// The elements as any type. Between floating-point types gradients pass unchanged; otherwise
  /// the result is cut from the tape where the type changes.
  ///
  /// - Throws: `value` for a number that int32 does not hold.
  public final func stored(as target: DType) throws -> StoredTensor {
    if target == dtype { return self }
    let tensor = try widened()
    return target.half == nil ? try tensor.converted(to: target) : try tensor.narrowed(to: target)
  }
}

extension Tensor {
  /// The elements as float16 or bfloat16, rounded to the nearest, ties to even; beyond the largest
  /// they are infinite. The gradient is that of the identity.
  public func narrowed(to target: DType) throws -> StoredTensor {
    let operation = "astype"
    guard let format = target.half else {
      throw VQError.type(operation, [target], "float16 or bfloat16 is required")
    }
    let source = try converted(to: .float32)
    return StoredTensor(
      shape: shape, storage: try source.halves(target, format, of: operation),
      node: gradientsAreRecorded ? source.tapeNode : nil)
  }

  /// The bits of float32 elements in a format.
  private func halves(
    _ target: DType, _ format: HalfFormat, of operation: String
  ) throws -> Storage {
    let result = try Storage(target, count: count)
    try interruptible(operation) {
      narrow(storage.floats, to: format, result.halves, count: count)
    }
    return result
  }

  /// The elements of a float32 tensor rounded to bfloat16, for a product.
  func bfloat16Elements(_ operation: String) throws -> Storage {
    try halves(.bfloat16, .bfloat16, of: operation)
  }
}

// MARK: - Parts of halves

extension StoredTensor {
  /// `slice` of the widened tensor; halves outside the range are left alone along the first axis.
  public func widenedSlice(axis: Int, from: Int, to: Int, step: Int) throws -> Tensor {
    guard hasRowsAlone(along: axis), 0 <= from, from <= to, to <= shape[0] else {
      return try widened().slice(axis: axis, from: from, to: to, step: step)
    }
    let width = shape.dropFirst().reduce(1, *)
    let part = Storage(
      dtype, count: (to - from) * width, base: bytes + from * width * dtype.byteCount,
      owner: storage)
    return try StoredTensor(shape: [to - from] + shape.dropFirst(), storage: part)
      .widened().slice(axis: 0, from: 0, to: to - from, step: step)
  }

  /// `take` of the widened tensor; only rows at `positions` are widened along the first axis.
  public func widenedTake(_ positions: Tensor, axis: Int) throws -> Tensor {
    guard hasRowsAlone(along: axis) else {
      return try widened().take(positions, axis: axis)
    }
    let operation = "take"
    try positions.requireCodes(operation, below: shape[0])
    let target = positions.shape + shape.dropFirst()
    let rows = try Storage(dtype, count: Shape.count(target, operation))
    try interruptible(operation) {
      gatherRows(
        storage.halves, positions.storage.ints, rows.halves, count: positions.count,
        columns: shape.dropFirst().reduce(1, *))
    }
    return try StoredTensor(shape: target, storage: rows).widened()
  }

  /// Whether these are halves that give no gradient, and `axis` is the first.
  private func hasRowsAlone(along axis: Int) -> Bool {
    guard dtype.half != nil, rank > 0, axis == 0 || axis == -rank else { return false }
    return !(requiresGrad && gradientsAreRecorded)
  }
}
