import VQTensor

extension Tensor {
  /// A copy with its own storage, not recorded.
  public func copied() throws -> Tensor {
    let copy = try Tensor.uninitialized(dtype, shape)
    try copy.assign(self)
    return copy
  }

  /// Throws unless `source` has this shape and element type.
  func requireMatch(_ source: Tensor, _ name: String, _ operation: String) throws {
    guard source.dtype == dtype else {
      throw VQError.type(operation, [source.dtype, dtype], "\(name) must keep its dtype")
    }
    guard source.shape == shape else {
      throw VQError.shape(operation, [source.shape, shape], "\(name) must keep its shape")
    }
  }
}
