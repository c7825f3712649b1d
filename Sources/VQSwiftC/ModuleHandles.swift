import CPlatform
import CVQSwift
import VQNN
import VQTensor

typealias ModuleBox = Box<Module>

func box(_ handle: Handle?) throws -> ModuleBox { try object(handle, ModuleBox.self) }

/// Writes a new handle of the module that `body` makes.
func produceModule(_ out: Out?, _ body: () throws -> Module) -> vq_status {
  produce(out) { ModuleBox(try body(), "module") }
}

@_cdecl("vq_module_release") @implementation
public func vq_module_release(_ handle: Handle!) { release(handle, as: ModuleBox.self) }

@_cdecl("vq_module_forward") @implementation
public func vq_module_forward(_ handle: Handle!, _ x: Handle!, _ out: Out!) -> vq_status {
  produce(out) {
    let x = try tensor(x)
    return try box(handle).enter("forward") { try $0.forward(x) }
  }
}

@_cdecl("vq_module_set_training") @implementation
public func vq_module_set_training(_ handle: Handle!, _ training: Bool) -> vq_status {
  catching { try box(handle).enter("train") { $0.isTraining = training } }
}

@_cdecl("vq_module_is_training") @implementation
public func vq_module_is_training(_ handle: Handle!) -> Bool {
  (try? box(handle))?.content.isTraining ?? false
}

@_cdecl("vq_module_parameters") @implementation
public func vq_module_parameters(_ handle: Handle!, _ all: Bool, _ out: Out!) -> vq_status {
  produce(out) {
    let module = try box(handle).content
    return NamedList(all ? module.namedParameters : module.trainableParameters)
  }
}

@_cdecl("vq_module_buffers") @implementation
public func vq_module_buffers(_ handle: Handle!, _ out: Out!) -> vq_status {
  produce(out) { NamedList(try box(handle).content.namedBuffers) }
}

@_cdecl("vq_module_optional_buffers") @implementation
public func vq_module_optional_buffers(_ handle: Handle!, _ out: Out!) -> vq_status {
  produce(out) { NamedList(try box(handle).content.optionalBuffers) }
}

@_cdecl("vq_module_generators") @implementation
public func vq_module_generators(_ handle: Handle!, _ out: Out!) -> vq_status {
  produce(out) { NamedList(try box(handle).content.generatorStates) }
}

@_cdecl("vq_module_load") @implementation
public func vq_module_load(
  _ handle: Handle!, _ names: Texts!, _ tensors: Handles!, _ count: Int64, _ strict: Bool,
  _ writes: Bool
) -> vq_status {
  catching {
    let state = try named(names, tensors, count)
    try box(handle).enter("load_state_dict") {
      try writes ? $0.load(state: state, strict: strict) : $0.check(state: state, strict: strict)
    }
  }
}

@_cdecl("vq_module_load_generators") @implementation
public func vq_module_load_generators(
  _ handle: Handle!, _ names: Texts!, _ tensors: Handles!, _ count: Int64
) -> vq_status {
  catching {
    let state = try named(names, tensors, count)
    try box(handle).enter("load_generators") { try $0.load(generatorStates: state) }
  }
}
