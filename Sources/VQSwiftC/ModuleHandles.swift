import CPlatform
import CVQSwift
import VQModels
import VQNN
import VQQuantizers
import VQTensor

/// A module, the names that it gave out and whether a thread is inside it.
final class ModuleBox {
  let module: Module
  let names = NameTable()
  private let gate = Gate()

  init(_ module: Module) { self.module = module }

  func enter<Result>(_ operation: String, _ body: (Module) throws -> Result) throws -> Result {
    try gate.enter(operation, "module") { try body(module) }
  }
}

func box(_ handle: OpaquePointer?) throws -> ModuleBox { try object(handle, ModuleBox.self) }

/// Writes a new handle of the module that `body` makes.
func produceModule(_ out: Out?, _ body: () throws -> Module) -> vq_status {
  produce(out) { ModuleBox(try body()) }
}

@_cdecl("vq_module_release") @implementation
public func vq_module_release(_ handle: OpaquePointer!) { release(handle, as: ModuleBox.self) }

@_cdecl("vq_module_forward") @implementation
public func vq_module_forward(
  _ handle: OpaquePointer!, _ x: OpaquePointer!, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) {
    let x = try tensor(x)
    return try box(handle).enter("forward") { try $0.forward(x) }
  }
}

@_cdecl("vq_module_set_training") @implementation
public func vq_module_set_training(_ handle: OpaquePointer!, _ training: Bool) -> vq_status {
  catching { try box(handle).enter("train") { $0.isTraining = training } }
}

@_cdecl("vq_module_is_training") @implementation
public func vq_module_is_training(_ handle: OpaquePointer!) -> Bool {
  (try? box(handle))?.module.isTraining ?? false
}

private func parameters(_ module: Module, all: Bool) -> [NamedTensor] {
  all ? module.namedParameters : module.trainableParameters
}

@_cdecl("vq_module_parameter_count") @implementation
public func vq_module_parameter_count(_ handle: OpaquePointer!, _ all: Bool) -> Int64 {
  Int64((try? box(handle)).map { parameters($0.module, all: all).count } ?? 0)
}

@_cdecl("vq_module_parameter") @implementation
public func vq_module_parameter(
  _ handle: OpaquePointer!, _ all: Bool, _ index: Int64,
  _ name: UnsafeMutablePointer<UnsafePointer<CChar>?>!,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) {
    let box = try box(handle)
    return try box.names.give(parameters(box.module, all: all), index, name, "module")
  }
}

@_cdecl("vq_module_buffer_count") @implementation
public func vq_module_buffer_count(_ handle: OpaquePointer!) -> Int64 {
  Int64((try? box(handle))?.module.namedBuffers.count ?? 0)
}

@_cdecl("vq_module_buffer") @implementation
public func vq_module_buffer(
  _ handle: OpaquePointer!, _ index: Int64, _ name: UnsafeMutablePointer<UnsafePointer<CChar>?>!,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) {
    let box = try box(handle)
    return try box.names.give(box.module.namedBuffers, index, name, "module")
  }
}

@_cdecl("vq_module_optional_buffer_count") @implementation
public func vq_module_optional_buffer_count(_ handle: OpaquePointer!) -> Int64 {
  Int64((try? box(handle))?.module.optionalBuffers.count ?? 0)
}

@_cdecl("vq_module_optional_buffer") @implementation
public func vq_module_optional_buffer(
  _ handle: OpaquePointer!, _ index: Int64, _ name: UnsafeMutablePointer<UnsafePointer<CChar>?>!,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) {
    let box = try box(handle)
    return try box.names.give(box.module.optionalBuffers, index, name, "module")
  }
}

@_cdecl("vq_module_load") @implementation
public func vq_module_load(
  _ handle: OpaquePointer!, _ names: UnsafePointer<UnsafePointer<CChar>?>!,
  _ tensors: UnsafePointer<OpaquePointer?>!, _ count: Int64, _ strict: Bool
) -> vq_status {
  catching {
    let state = try named(names, tensors, count)
    try box(handle).enter("load_state_dict") { try $0.load(state: state, strict: strict) }
  }
}

@_cdecl("vq_module_generator_count") @implementation
public func vq_module_generator_count(_ handle: OpaquePointer!) -> Int64 {
  Int64((try? box(handle))?.module.namedGenerators.count ?? 0)
}

@_cdecl("vq_module_generator") @implementation
public func vq_module_generator(
  _ handle: OpaquePointer!, _ index: Int64, _ name: UnsafeMutablePointer<UnsafePointer<CChar>?>!,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) {
    let box = try box(handle)
    return try box.names.give(box.module.generatorStates, index, name, "module")
  }
}

@_cdecl("vq_module_load_generators") @implementation
public func vq_module_load_generators(
  _ handle: OpaquePointer!, _ names: UnsafePointer<UnsafePointer<CChar>?>!,
  _ tensors: UnsafePointer<OpaquePointer?>!, _ count: Int64
) -> vq_status {
  catching {
    let state = try named(names, tensors, count)
    try box(handle).enter("load_generators") { try $0.load(generatorStates: state) }
  }
}
