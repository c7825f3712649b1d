import VQTensor

/// The map `factor C + offset` of a codebook, [groups, d] each for contiguous groups of its codes.
struct AffineMap {
  let factor: Tensor
  let offset: Tensor
}

extension AffineMap? {
  /// Calls `body` with factor and offset, nil for the identity.
  func read(_ body: (UnsafePointer<Float>?, UnsafePointer<Float>?) -> Void) {
    guard let self else { return body(nil, nil) }
    self.factor.read { factor in self.offset.read { body(factor, $0) } }
  }
}
