import CVQSwift
import VQTensor

@_cdecl("vq_tensor_reshape") @implementation
public func vq_tensor_reshape(
  _ x: Handle!, _ shape: Sizes!, _ rank: Int64, _ out: Out!
) -> vq_status {
  produce(out) { try tensor(x).reshape(sizes(shape, rank)) }
}

@_cdecl("vq_tensor_permute") @implementation
public func vq_tensor_permute(
  _ x: Handle!, _ axes: Sizes!, _ rank: Int64, _ out: Out!
) -> vq_status {
  produce(out) { try tensor(x).permute(sizes(axes, rank)) }
}

@_cdecl("vq_tensor_broadcast_to") @implementation
public func vq_tensor_broadcast_to(
  _ x: Handle!, _ shape: Sizes!, _ rank: Int64, _ out: Out!
) -> vq_status {
  produce(out) { try tensor(x).broadcast(to: sizes(shape, rank)) }
}

@_cdecl("vq_tensor_slice") @implementation
public func vq_tensor_slice(
  _ x: Handle!, _ axis: Int64, _ from: Int64, _ to: Int64, _ step: Int64, _ out: Out!
) -> vq_status {
  produce(out) {
    try stored(x).widenedSlice(axis: Int(axis), from: Int(from), to: Int(to), step: Int(step))
  }
}

@_cdecl("vq_tensor_concatenate") @implementation
public func vq_tensor_concatenate(
  _ list: Handles!, _ count: Int64, _ axis: Int64, _ out: Out!
) -> vq_status {
  produce(out) { try Tensor.concatenate(tensors(list, count), axis: Int(axis)) }
}

@_cdecl("vq_tensor_stack") @implementation
public func vq_tensor_stack(
  _ list: Handles!, _ count: Int64, _ axis: Int64, _ out: Out!
) -> vq_status {
  produce(out) { try Tensor.stack(tensors(list, count), axis: Int(axis)) }
}

@_cdecl("vq_tensor_gather_rows") @implementation
public func vq_tensor_gather_rows(_ x: Handle!, _ codes: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try tensor(x).gatherRows(tensor(codes)) }
}

@_cdecl("vq_tensor_scatter_add_rows") @implementation
public func vq_tensor_scatter_add_rows(
  _ x: Handle!, _ codes: Handle!, _ rows: Int64, _ out: Out!
) -> vq_status {
  produce(out) { try tensor(x).scatterAddRows(tensor(codes), rows: Int(rows)) }
}

@_cdecl("vq_tensor_one_hot") @implementation
public func vq_tensor_one_hot(_ codes: Handle!, _ count: Int64, _ out: Out!) -> vq_status {
  produce(out) { try tensor(codes).oneHot(Int(count)) }
}

@_cdecl("vq_tensor_matmul") @implementation
public func vq_tensor_matmul(_ a: Handle!, _ b: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try tensor(a).matmul(tensor(b)) }
}

@_cdecl("vq_tensor_linear") @implementation
public func vq_tensor_linear(
  _ x: Handle!, _ weight: Handle!, _ bias: Handle!, _ out: Out!
) -> vq_status {
  produce(out) { try tensor(x).linear(tensor(weight), bias: optionalTensor(bias)) }
}

@_cdecl("vq_tensor_pad") @implementation
public func vq_tensor_pad(
  _ x: Handle!, _ axis: Int64, _ before: Int64, _ after: Int64, _ mode: Text!, _ value: Float,
  _ out: Out!
) -> vq_status {
  produce(out) {
    let name = try string(mode)
    guard let mode = PaddingMode(rawValue: name) else {
      throw VQError.value(
        "pad", "mode", name,
        "must be one of " + PaddingMode.allCases.map(\.rawValue).joined(separator: ", "))
    }
    return try tensor(x).padded(
      axis: Int(axis), before: Int(before), after: Int(after), mode: mode, value: value)
  }
}
