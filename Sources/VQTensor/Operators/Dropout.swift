import VQKernels

extension Tensor {
  /// Zeroes each element with `probability` and divides the others by `1 - probability`. The
  /// pullback draws the same mask again.
  public func dropout(_ probability: Float, generator: Generator) throws -> Tensor {
    try requireFloat("dropout")
    guard probability >= 0, probability <= 1 else {
      throw VQError.value("dropout", "probability", "\(probability)", "must be in 0...1")
    }
    if probability == 0 { return self }
    let state = generator.words(count)
    let threshold = UInt64(Double(probability) * 0x1p32)
    let scale = probability == 1 ? 0 : 1 / (1 - probability)
    return try Tensor("dropout", shape: shape) { out in
      dropoutApply(
        state, storage.floats, out, count: count, threshold: threshold, scale: scale)
    }.recorded("dropout", inputs: [self]) { g, _ in
      [
        try Tensor("dropout", shape: g.shape) { out in
          dropoutApply(
            state, g.storage.floats, out, count: g.count, threshold: threshold, scale: scale)
        }
      ]
    }
  }
}
