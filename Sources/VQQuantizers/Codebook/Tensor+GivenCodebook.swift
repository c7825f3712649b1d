import VQTensor

extension Tensor {
  /// Lets a codebook that the caller gives drop the gradient that backward left for the one before.
  func forgetGradientWhenGiven() -> Tensor {
    observeWrites { [weak self] write in
      if write.before != nil { self?.grad = nil }
    }
    return self
  }
}
