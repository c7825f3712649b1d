import CVQSwift
import VQTensor

@_cdecl("vq_tensor_take") @implementation
public func vq_tensor_take(
  _ x: Handle!, _ positions: Handle!, _ axis: Int64, _ out: Out!
) -> vq_status {
  produce(out) { try stored(x).widenedTake(tensor(positions), axis: Int(axis)) }
}

@_cdecl("vq_tensor_gather") @implementation
public func vq_tensor_gather(
  _ x: Handle!, _ positions: Handle!, _ axis: Int64, _ out: Out!
) -> vq_status {
  produce(out) { try tensor(x).gather(tensor(positions), axis: Int(axis)) }
}

@_cdecl("vq_tensor_scatter_add") @implementation
public func vq_tensor_scatter_add(
  _ x: Handle!, _ positions: Handle!, _ source: Handle!, _ axis: Int64, _ out: Out!
) -> vq_status {
  produce(out) {
    try tensor(x).scatterAdd(tensor(source), at: tensor(positions), axis: Int(axis))
  }
}

@_cdecl("vq_tensor_argsort") @implementation
public func vq_tensor_argsort(
  _ x: Handle!, _ axis: Int64, _ descending: Bool, _ first: Int64, _ out: Out!
) -> vq_status {
  produce(out) {
    try tensor(x).argsort(
      axis: Int(axis), descending: descending, count: first == -1 ? nil : Int(first))
  }
}

@_cdecl("vq_tensor_scan") @implementation
public func vq_tensor_scan(
  _ x: Handle!, _ function: Text!, _ axis: Int64, _ out: Out!
) -> vq_status {
  produce(out) { try tensor(x).scan(string(function), axis: Int(axis)) }
}
