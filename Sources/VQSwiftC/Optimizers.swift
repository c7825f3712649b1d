import CPlatform
import CVQSwift
import VQModels
import VQNN
import VQQuantizers
import VQTensor

/// An optimizer, the names that it gave out and whether a thread is inside it.
final class OptimizerBox {
  let optimizer: Optimizer
  let names = NameTable()
  private let gate = Gate()

  init(_ optimizer: Optimizer) { self.optimizer = optimizer }

  func enter<Result>(_ operation: String, _ body: (Optimizer) throws -> Result) throws -> Result {
    try gate.enter(operation, "optimizer") { try body(optimizer) }
  }
}

private func enter(
  _ handle: OpaquePointer?, _ operation: String, _ body: (Optimizer) throws -> Void
) -> vq_status {
  catching { try object(handle, OptimizerBox.self).enter(operation, body) }
}

private func optimizer(_ handle: OpaquePointer?) throws -> Optimizer {
  try object(handle, OptimizerBox.self).optimizer
}

/// Throws unless the caller's struct is the library's.
func requireSize(_ given: Int, _ expected: Int, _ operation: String) throws {
  guard given == expected else {
    throw VQError.value(
      operation, "struct_size", "\(given)", "this library's struct has \(expected)")
  }
}

@_cdecl("vq_optimizer_create") @implementation
public func vq_optimizer_create(
  _ options: UnsafePointer<vq_optimizer_options>!, _ groups: UnsafePointer<vq_parameter_group>!,
  _ groupCount: Int64, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) {
    let options = try value(options)
    try requireSize(options.struct_size, MemoryLayout<vq_optimizer_options>.size, "optimizer")
    let groups = try list(groups, groupCount).map { group in
      ParameterGroup(
        try tensors(group.parameters, group.count), learningRate: group.learning_rate,
        weightDecay: group.weight_decay, decayBiasesAndNorms: options.decay_biases_and_norms)
    }
    let betas = (options.beta1, options.beta2)
    switch Int(options.kind) {
    case Int(VQ_SGD):
      return OptimizerBox(
        try SGD(groups: groups, momentum: options.momentum, nesterov: options.nesterov))
    case Int(VQ_ADAM):
      return OptimizerBox(try Adam(groups: groups, betas: betas, epsilon: options.epsilon))
    case Int(VQ_ADAMW):
      return OptimizerBox(try AdamW(groups: groups, betas: betas, epsilon: options.epsilon))
    default:
      throw VQError.value("optimizer", "kind", "\(options.kind)", "it must be SGD, Adam or AdamW")
    }
  }
}

@_cdecl("vq_optimizer_release") @implementation
public func vq_optimizer_release(_ handle: OpaquePointer!) {
  release(handle, as: OptimizerBox.self)
}

@_cdecl("vq_optimizer_group_count") @implementation
public func vq_optimizer_group_count(_ handle: OpaquePointer!) -> Int64 {
  Int64((try? optimizer(handle))?.groups.count ?? 0)
}

@_cdecl("vq_optimizer_learning_rate") @implementation
public func vq_optimizer_learning_rate(
  _ handle: OpaquePointer!, _ group: Int64, _ out: UnsafeMutablePointer<Double>!
) -> vq_status {
  catching {
    let groups = try optimizer(handle).groups
    guard group >= 0, group < groups.count else {
      throw VQError.index("optimizer", value: Int(group), bound: groups.count)
    }
    try target(out).pointee = groups[Int(group)].learningRate
  }
}

@_cdecl("vq_optimizer_set_learning_rate") @implementation
public func vq_optimizer_set_learning_rate(
  _ handle: OpaquePointer!, _ group: Int64, _ learningRate: Double
) -> vq_status {
  enter(handle, "lr") { try $0.setLearningRate(learningRate, group: Int(group)) }
}

@_cdecl("vq_optimizer_set_weight_decay") @implementation
public func vq_optimizer_set_weight_decay(
  _ handle: OpaquePointer!, _ group: Int64, _ weightDecay: Double
) -> vq_status {
  enter(handle, "weight_decay") { try $0.setWeightDecay(weightDecay, group: Int(group)) }
}

@_cdecl("vq_optimizer_step") @implementation
public func vq_optimizer_step(_ handle: OpaquePointer!) -> vq_status {
  enter(handle, "step") { try $0.step() }
}

@_cdecl("vq_optimizer_zero_grad") @implementation
public func vq_optimizer_zero_grad(_ handle: OpaquePointer!) -> vq_status {
  enter(handle, "zero_grad") { $0.zeroGrad() }
}

@_cdecl("vq_optimizer_state_count") @implementation
public func vq_optimizer_state_count(_ handle: OpaquePointer!) -> Int64 {
  Int64((try? optimizer(handle).state)?.count ?? 0)
}

@_cdecl("vq_optimizer_state") @implementation
public func vq_optimizer_state(
  _ handle: OpaquePointer!, _ index: Int64, _ name: UnsafeMutablePointer<UnsafePointer<CChar>?>!,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) {
    let box = try object(handle, OptimizerBox.self)
    return try box.names.give(box.optimizer.state, index, name, "optimizer")
  }
}

@_cdecl("vq_optimizer_check") @implementation
public func vq_optimizer_check(
  _ handle: OpaquePointer!, _ names: UnsafePointer<UnsafePointer<CChar>?>!,
  _ tensors: UnsafePointer<OpaquePointer?>!, _ count: Int64
) -> vq_status {
  enter(handle, "load_state_dict") { try $0.check(state: try named(names, tensors, count)) }
}

@_cdecl("vq_optimizer_load") @implementation
public func vq_optimizer_load(
  _ handle: OpaquePointer!, _ names: UnsafePointer<UnsafePointer<CChar>?>!,
  _ tensors: UnsafePointer<OpaquePointer?>!, _ count: Int64
) -> vq_status {
  enter(handle, "load_state_dict") { try $0.load(state: try named(names, tensors, count)) }
}

@_cdecl("vq_clip_grad_norm") @implementation
public func vq_clip_grad_norm(
  _ parameters: UnsafePointer<OpaquePointer?>!, _ count: Int64, _ maximum: Float,
  _ norm: UnsafeMutablePointer<Float>!
) -> vq_status {
  catching {
    let before = try clipGradientNorm(tensors(parameters, count), maximum: maximum)
    norm?.pointee = before
  }
}

@_cdecl("vq_clip_grad_value") @implementation
public func vq_clip_grad_value(
  _ parameters: UnsafePointer<OpaquePointer?>!, _ count: Int64, _ maximum: Float
) -> vq_status {
  catching { try clipGradientValue(tensors(parameters, count), maximum: maximum) }
}
