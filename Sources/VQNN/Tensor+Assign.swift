import VQTensor

extension Tensor {
  /// A copy with its own storage, not recorded.
  public func copied() throws -> Tensor {
    let copy =
      dtype == .float32
      ? try Tensor("copy", shape: shape) { _ in } : try Tensor("copy", codeShape: shape) { _ in }
    copy.assign(self)
    return copy
  }

  /// Writes the elements of `source`, which has this shape and element type, in place.
  func assign(_ source: Tensor) {
    // Elements of both types are four bytes.
    mutate { target in source.read { target.update(from: $0, count: count) } }
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
