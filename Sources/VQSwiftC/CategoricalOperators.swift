import CVQSwift
import VQTensor

/// Writes a handle of what `body` samples of the logits.
private func sample(
  _ logits: Handle?, _ generator: Handle?, _ operation: String, _ out: Out?,
  _ body: (Tensor, Generator) throws -> Tensor
) -> vq_status {
  produce(out) {
    let logits = try tensor(logits)
    return try object(generator, GeneratorBox.self).enter(operation) { try body(logits, $0) }
  }
}

@_cdecl("vq_tensor_reinmax") @implementation
public func vq_tensor_reinmax(
  _ logits: Handle!, _ temperature: Float, _ generator: Handle!, _ out: Out!
) -> vq_status {
  sample(logits, generator, "reinmax", out) {
    try $0.reinMax(temperature: temperature, generator: $1)
  }
}

@_cdecl("vq_tensor_gumbel_softmax") @implementation
public func vq_tensor_gumbel_softmax(
  _ logits: Handle!, _ temperature: Float, _ hard: Bool, _ generator: Handle!, _ out: Out!
) -> vq_status {
  sample(logits, generator, "gumbel_softmax", out) {
    try $0.gumbelSoftmax(temperature: temperature, isHard: hard, generator: $1)
  }
}

@_cdecl("vq_tensor_straight_through_softmax") @implementation
public func vq_tensor_straight_through_softmax(
  _ logits: Handle!, _ generator: Handle!, _ out: Out!
) -> vq_status {
  sample(logits, generator, "straight_through_softmax", out) {
    try $0.straightThroughSoftmax(generator: $1)
  }
}
