import VQNN
import VQTensor

/// What a training forward of one layer may write.
struct WrittenState {
  /// Codebooks, statistics, counters and generators.
  var tensors: [Tensor]
  /// Codebooks whose gradients wait for a step.
  var leaves: [Tensor] = []
  /// In-place optimizers.
  var optimizers: [Optimizer] = []
  /// Where vectors of deferred forwards wait.
  var waiting: [WaitingVectors] = []
}

/// The state of a quantizer before a training forward, so that one that throws leaves nothing
/// behind.
struct QuantizerSnapshot {
  private var tensors: [(tensor: Tensor, copy: Tensor)] = []
  private var gradients: [(leaf: Tensor, gradient: Tensor?)] = []
  private var optimizers: [(optimizer: Optimizer, states: [Optimizer.ParameterState])] = []
  private var waiting: [(vectors: WaitingVectors, count: Int)] = []

  init(of quantizer: Quantizer) throws { try add(quantizer) }

  private mutating func add(_ module: Module) throws {
    let written =
      (module as? Quantizer)?.writtenState
      ?? WrittenState(tensors: module.ownBuffers.map(\.tensor))
    for tensor in written.tensors { tensors.append((tensor, try tensor.copied())) }
    gradients += written.leaves.map { ($0, $0.grad) }
    for optimizer in written.optimizers {
      optimizers.append((optimizer, try optimizer.savedStates()))
    }
    waiting += written.waiting.map { ($0, $0.parts.count) }
    for (_, child) in module.children { try add(child) }
  }

  func restore() throws {
    for (tensor, copy) in tensors { try tensor.assign(copy) }
    for (leaf, gradient) in gradients { leaf.grad = gradient }
    for (optimizer, states) in optimizers { optimizer.restore(states) }
    for (vectors, count) in waiting { vectors.keep(first: count) }
  }
}
