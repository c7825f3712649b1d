import VQNN
import VQTensor

/// What a training forward of a quantizer may write, so that one that throws leaves nothing behind:
/// codebooks, the gradients that wait on them, statistics, counters, generators and in-place optimizers.
struct QuantizerSnapshot {
  private var tensors: [(tensor: Tensor, copy: Tensor)] = []
  private var gradients: [(codebook: Tensor, gradient: Tensor?)] = []
  private var optimizers: [(optimizer: Optimizer, states: [Optimizer.ParameterState])] = []

  init(of quantizer: Quantizer) throws { try add(quantizer) }

  private mutating func add(_ module: Module) throws {
    let written =
      (module as? Quantizer)?.writtenTensors ?? module.ownBuffers.map(\.tensor)
    for tensor in written { tensors.append((tensor, try tensor.copied())) }
    if let layer = module as? VectorQuant {
      gradients.append((layer.codebook, layer.codebook.grad))
      if let optimizer = layer.inplaceOptimizer {
        optimizers.append((optimizer, try optimizer.savedStates()))
      }
    }
    for (_, child) in module.children { try add(child) }
  }

  func restore() throws {
    for (tensor, copy) in tensors { try tensor.assign(copy) }
    for (codebook, gradient) in gradients { codebook.grad = gradient }
    for (optimizer, states) in optimizers { optimizer.restore(states) }
  }
}
