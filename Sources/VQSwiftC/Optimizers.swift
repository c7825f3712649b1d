import CVQSwift
import VQNN
import VQTensor

typealias OptimizerBox = Box<Optimizer>

private func enter(
  _ handle: Handle?, _ operation: String, _ body: (Optimizer) throws -> Void
) -> vq_status {
  catching { try object(handle, OptimizerBox.self).enter(operation, body) }
}

@_cdecl("vq_optimizer_create") @implementation
public func vq_optimizer_create(
  _ kind: Text!, _ options: Options!, _ count: Int64, _ out: Out!
) -> vq_status {
  produce(out) {
    let kind = try optimizerKind(kind)
    return OptimizerBox(try kind.make(given(options, count, kind.name), ()), "optimizer")
  }
}

@_cdecl("vq_optimizer_release") @implementation
public func vq_optimizer_release(_ handle: Handle!) { release(handle, as: OptimizerBox.self) }

@_cdecl("vq_optimizer_add_group") @implementation
public func vq_optimizer_add_group(
  _ handle: Handle!, _ parameters: Handles!, _ count: Int64, _ learningRate: Double,
  _ weightDecay: Double
) -> vq_status {
  enter(handle, "add_group") {
    try $0.add(
      ParameterGroup(
        owned(parameters, count, "add_group"), learningRate: learningRate,
        weightDecay: weightDecay))
  }
}

@_cdecl("vq_optimizer_add_group_with_betas") @implementation
public func vq_optimizer_add_group_with_betas(
  _ handle: Handle!, _ parameters: Handles!, _ count: Int64, _ learningRate: Double,
  _ weightDecay: Double, _ firstBeta: Double, _ secondBeta: Double
) -> vq_status {
  enter(handle, "add_group") {
    try $0.add(
      ParameterGroup(
        owned(parameters, count, "add_group"), learningRate: learningRate,
        weightDecay: weightDecay, betas: (firstBeta, secondBeta)))
  }
}

@_cdecl("vq_optimizer_set_group") @implementation
public func vq_optimizer_set_group(
  _ handle: Handle!, _ group: Int64, _ learningRate: Double, _ weightDecay: Double
) -> vq_status {
  enter(handle, "set_group") {
    try $0.setGroup(Int(group), learningRate: learningRate, weightDecay: weightDecay)
  }
}

@_cdecl("vq_optimizer_step") @implementation
public func vq_optimizer_step(_ handle: Handle!) -> vq_status {
  enter(handle, "step") { try $0.step() }
}

@_cdecl("vq_optimizer_zero_grad") @implementation
public func vq_optimizer_zero_grad(_ handle: Handle!) -> vq_status {
  enter(handle, "zero_grad") { $0.zeroGrad() }
}

@_cdecl("vq_optimizer_state") @implementation
public func vq_optimizer_state(_ handle: Handle!, _ out: Out!) -> vq_status {
  produce(out) { NamedList(try object(handle, OptimizerBox.self).content.state) }
}

@_cdecl("vq_optimizer_load") @implementation
public func vq_optimizer_load(
  _ handle: Handle!, _ names: Texts!, _ tensors: Handles!, _ count: Int64, _ writes: Bool
) -> vq_status {
  enter(handle, "load_state_dict") {
    let state = try named(names, tensors, count)
    try writes ? $0.load(state: state) : $0.check(state: state)
  }
}

@_cdecl("vq_clip_grad_norm") @implementation
public func vq_clip_grad_norm(
  _ parameters: Handles!, _ count: Int64, _ maximum: Float, _ norm: UnsafeMutablePointer<Float>!
) -> vq_status {
  catching {
    let before = try clipGradientNorm(
      owned(parameters, count, "clip_grad_norm"), maximum: maximum)
    norm?.pointee = before
  }
}

@_cdecl("vq_clip_grad_value") @implementation
public func vq_clip_grad_value(
  _ parameters: Handles!, _ count: Int64, _ maximum: Float
) -> vq_status {
  catching {
    try clipGradientValue(owned(parameters, count, "clip_grad_value"), maximum: maximum)
  }
}

@_cdecl("vq_schedule_factor") @implementation
public func vq_schedule_factor(
  _ kind: Text!, _ options: Options!, _ count: Int64, _ step: Int64, _ out: DoublesOut!
) -> vq_status {
  catching {
    let (kind, out) = (try scheduleKind(kind), try target(out))
    out.pointee = try kind.make(given(options, count, kind.name), ()).factor(at: Int(step))
  }
}
