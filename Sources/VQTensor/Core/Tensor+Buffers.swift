import Glibc

/// What the C interface needs of the memory under a tensor.
extension Tensor {
  public static func uninitialized(_ dtype: DType, _ shape: [Int]) throws -> Tensor {
    guard dtype.half == nil else {
      throw VQError.type("tensor", [dtype], "float32, int32 or bool is required")
    }
    return Tensor(shape: shape, storage: try Storage(dtype, count: Shape.count(shape, "tensor")))
  }

  /// Reads 64-byte aligned memory in place; `owner` is released with the last tensor over it.
  public convenience init(
    borrowing data: UnsafeMutableRawPointer?, _ dtype: DType, shape: [Int], owner: AnyObject
  ) throws {
    guard dtype == .float32 || dtype == .int32 else {
      throw VQError.type("tensor", [dtype], "borrowed memory must be float32 or int32")
    }
    let count = try Shape.count(shape, "tensor")
    guard let data, UInt(bitPattern: data) % 64 == 0 else {
      throw VQError.value(
        "tensor", "data", "\(UInt(bitPattern: data))", "borrowed memory must be aligned to 64 bytes"
      )
    }
    self.init(shape: shape, storage: Storage(dtype, count: count, base: data, owner: owner))
  }

  /// Reads rows [n, d] in place at any address, for what loads vectors from any address.
  public convenience init(
    borrowingPoints data: UnsafePointer<Float>?, rows n: Int, width d: Int, owner: AnyObject
  ) throws {
    let count = try Shape.count([n, d], "points")
    guard let data else { throw VQError.misuse("points", "data is NULL") }
    let base = UnsafeMutableRawPointer(mutating: data)
    self.init(shape: [n, d], storage: Storage(.float32, count: count, base: base, owner: owner))
  }

  /// Copies elements from `data` where they differ: what was made of the same ones is kept. No
  /// observer is told.
  public func refresh(from data: UnsafeRawPointer) {
    if memcmp(bytes, data, byteCount) == 0 { return }
    mutate { _ in bytes.copyMemory(from: data, byteCount: byteCount) }
  }

  /// Copies `source` into this tensor in place.
  public func assign(_ source: Tensor) throws {
    guard shape == source.shape else {
      throw VQError.shape("assign", [shape, source.shape], "the shapes must be equal")
    }
    guard dtype == source.dtype else {
      throw VQError.type("assign", [dtype, source.dtype], "the dtypes must be equal")
    }
    mutate { _ in bytes.copyMemory(from: source.bytes, byteCount: count * dtype.byteCount) }
  }

  /// Sets or clears the gradient of a leaf.
  public func replaceGradient(_ gradient: Tensor?) throws {
    guard leaf != nil else {
      throw VQError.misuse("grad", "only tensors made with requires_grad hold a gradient")
    }
    if let gradient, gradient.shape != shape || gradient.dtype != .float32 {
      throw VQError.shape(
        "grad", [gradient.shape, shape], "a gradient must be float32 of the tensor's shape")
    }
    grad = gradient?.detached()
  }
}
