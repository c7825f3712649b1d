import VQTensor

/// The whole numbers `lowest...highest` that `bits` bits hold: 0 to 2^b - 1, or -2^(b-1) to
/// 2^(b-1) - 1 with a sign.
struct StepLevels: Equatable {
  let lowest: Int
  let highest: Int

  /// - Throws: `VQError` unless `bits` is from 1 to 16, and at least 2 with a sign.
  init(_ operation: String, bits: Int, isSigned: Bool) throws {
    guard (1...16).contains(bits) else {
      throw VQError.value(operation, "bits", "\(bits)", "must be from 1 to 16")
    }
    guard bits > 1 || !isSigned else {
      throw VQError.value(
        operation, "bits", "1", "must be at least 2 with a sign: 1 leaves no positive level")
    }
    lowest = isSigned ? -(1 << (bits - 1)) : 0
    highest = isSigned ? (1 << (bits - 1)) - 1 : (1 << bits) - 1
  }
}

extension Tensor {
  /// The only element of a learned parameter that must stay positive.
  func positive(
    _ operation: String, _ name: String,
    _ rule: String = "must stay positive and finite: train it at a lower learning rate"
  ) throws -> Float {
    let value = try item()
    guard value > 0, value.isFinite else {
      throw VQError.value(operation, name, "\(value)", rule)
    }
    return value
  }

  /// Throws unless a quantizer takes the elements: finite float32, at least one in training.
  func requireQuantizable(_ operation: String, isTraining: Bool) throws {
    try requireFloat(operation)
    guard count > 0 || !isTraining else {
      throw VQError.empty(operation, shape, "training needs at least one element")
    }
    try requireFinite(operation, "x")
  }
}
