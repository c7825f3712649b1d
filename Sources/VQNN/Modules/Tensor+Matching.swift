import VQKernels
import VQTensor

extension Tensor {
  /// A copy with its own storage, not recorded.
  public func copied() throws -> Tensor {
    let copy = try Tensor.uninitialized(dtype, shape)
    try copy.assign(self)
    return copy
  }

  /// `source` in this shape, when it has this element type and, one element without an axis or with
  /// one of size 1 being the same, this shape; every float must be finite.
  ///
  /// - Throws: `.type`, `.shape`, `.nonFinite`.
  func matching(_ source: Tensor, _ name: String, _ operation: String) throws -> Tensor {
    let scalars = [[], [1]]
    let isScalar = scalars.contains(shape) && scalars.contains(source.shape)
    let source = isScalar && source.dtype == dtype ? try source.detached().reshape(shape) : source
    try requireMatch(source, name, operation)
    if dtype == .float32, let index = source.read({ firstNonFiniteElement($0, count: count) }) {
      throw VQError.nonFinite(operation, name, value: source.read { $0[index] }, index: index)
    }
    return source
  }

  /// Throws unless every element, as a float, keeps to `rule`.
  func require(_ rule: OptionRule<Float>, _ operation: String, _ name: String) throws {
    for (index, value) in (dtype == .int32 ? codes.map(Float.init) : values).enumerated()
    where !rule.holds(value) {
      throw VQError.value(operation, name, "\(value) at flat index \(index)", rule.text)
    }
  }

  /// Throws unless `source` has this shape and element type.
  func requireMatch(_ source: Tensor, _ name: String, _ operation: String) throws {
    try source.require(dtype, shape, name, operation)
  }

  /// Throws unless these are the element type and the shape.
  func require(
    _ dtype: DType, _ shape: [Int], _ name: String, _ operation: String
  ) throws {
    guard self.dtype == dtype else {
      throw VQError.type(operation, [self.dtype, dtype], "\(name) must keep its dtype")
    }
    guard self.shape == shape else {
      throw VQError.shape(operation, [self.shape, shape], "\(name) must keep its shape")
    }
  }
}
