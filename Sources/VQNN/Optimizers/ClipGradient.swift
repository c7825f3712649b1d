import VQKernels
import VQTensor

/// Scales the gradients so that their joint L2 norm is at most `maximum`, as PyTorch does:
/// by `maximum / (norm + 1e-6)` where that is below 1.
///
/// - Returns: the norm before.
/// - Throws: `.value` for a negative or NaN maximum, and for a norm that is not finite; the
///   gradients then are as before.
@discardableResult
public func clipGradientNorm(_ parameters: [Tensor], maximum: Float) throws -> Float {
  guard maximum >= 0 else {
    throw VQError.value("clip_grad_norm", "max_norm", "\(maximum)", "must be at least 0")
  }
  let parameters = distinct(parameters)
  var total = 0.0
  for case let gradient? in parameters.map(\.grad) {
    total += gradient.read { squaredNorm($0, count: gradient.count) }
  }
  let norm = Float(total.squareRoot())
  guard norm.isFinite else {
    throw VQError.value("clip_grad_norm", "norm", "\(norm)", "the gradients must be finite")
  }
  let factor = maximum / (norm + 1e-6)
  guard factor < 1 else { return norm }
  try withoutGradients {
    for parameter in parameters {
      if let gradient = parameter.grad { parameter.grad = try gradient * factor }
    }
  }
  return norm
}

/// Clamps every element of the gradients to `-maximum...maximum`.
///
/// - Throws: `.value` for a negative or NaN maximum.
public func clipGradientValue(_ parameters: [Tensor], maximum: Float) throws {
  guard maximum >= 0 else {
    throw VQError.value("clip_grad_value", "clip_value", "\(maximum)", "must be at least 0")
  }
  try withoutGradients {
    for parameter in distinct(parameters) {
      if let gradient = parameter.grad {
        parameter.grad = try gradient.clamp(minimum: -maximum, maximum: maximum)
      }
    }
  }
}

/// The tensors of distinct leaves.
private func distinct(_ parameters: [Tensor]) -> [Tensor] {
  var seen: Set<ObjectIdentifier> = []
  return parameters.filter { parameter in
    parameter.leaf.map { seen.insert(ObjectIdentifier($0)).inserted } ?? false
  }
}
