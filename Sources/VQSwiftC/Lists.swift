import CVQSwift
import VQNN
import VQTensor

/// Names with what each stands for; names and texts live as long as the list.
final class NamedList {
  enum Item {
    case tensor(Tensor)
    case module(Module)
    case text(UnsafePointer<CChar>)
  }
  let entries: [(name: UnsafePointer<CChar>, item: Item)]
  private let names: NameTable

  init(_ tensors: [NamedTensor]) {
    let names = NameTable()
    entries = tensors.map { (names.pointer($0.name), .tensor($0.tensor)) }
    self.names = names
  }

  init(_ modules: [(name: String, module: Module)]) {
    let names = NameTable()
    entries = modules.map { (names.pointer($0.name), .module($0.module)) }
    self.names = names
  }

  init(_ texts: [(name: String, text: String)]) {
    let names = NameTable()
    entries = texts.map { (names.pointer($0.name), .text(names.pointer($0.text))) }
    self.names = names
  }
}

private func list(_ handle: Handle?) throws -> NamedList { try object(handle, NamedList.self) }

private func item(_ handle: Handle?, _ index: Int64) throws -> NamedList.Item {
  let entries = try list(handle).entries
  guard index >= 0, index < entries.count else {
    throw VQError.index("list", value: Int(index), bound: entries.count)
  }
  return entries[Int(index)].item
}

@_cdecl("vq_list_release") @implementation
public func vq_list_release(_ handle: Handle!) { release(handle, as: NamedList.self) }

@_cdecl("vq_list_count") @implementation
public func vq_list_count(_ handle: Handle!) -> Int64 {
  Int64((try? list(handle))?.entries.count ?? 0)
}

@_cdecl("vq_list_name") @implementation
public func vq_list_name(_ handle: Handle!, _ index: Int64) -> Text! {
  guard let entries = (try? list(handle))?.entries, entries.indices.contains(Int(index)) else {
    return nil
  }
  return entries[Int(index)].name
}

@_cdecl("vq_list_text") @implementation
public func vq_list_text(_ handle: Handle!, _ index: Int64) -> Text! {
  guard case .text(let text) = try? item(handle, index) else { return nil }
  return text
}

@_cdecl("vq_list_tensor") @implementation
public func vq_list_tensor(_ handle: Handle!, _ index: Int64, _ out: Out!) -> vq_status {
  produce(out) {
    guard case .tensor(let tensor) = try item(handle, index) else {
      throw VQError.misuse("list", "item \(index) is no tensor")
    }
    return tensor
  }
}

@_cdecl("vq_list_module") @implementation
public func vq_list_module(_ handle: Handle!, _ index: Int64, _ out: Out!) -> vq_status {
  produceModule(out) {
    guard case .module(let module) = try item(handle, index) else {
      throw VQError.misuse("list", "item \(index) is no module")
    }
    return module
  }
}
