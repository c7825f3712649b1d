import CVQSwift
import VQKernels
import VQTensor

@_cdecl("vq_tensor_astype") @implementation
public func vq_tensor_astype(_ x: Handle!, _ type: Int32, _ out: Out!) -> vq_status {
  produce(out) { try stored(x).stored(as: dtype(type)) }
}

@_cdecl("vq_tensor_compare") @implementation
public func vq_tensor_compare(
  _ a: Handle!, _ b: Handle!, _ kind: vq_comparison, _ out: Out!
) -> vq_status {
  produce(out) {
    guard let comparison = Comparison(rawValue: Int32(bitPattern: kind.rawValue)) else {
      throw VQError.value("compare", "kind", "\(kind.rawValue)", "it must be a vq_comparison")
    }
    return try Tensor.compared(comparison, tensor(a), tensor(b))
  }
}

@_cdecl("vq_tensor_where") @implementation
public func vq_tensor_where(
  _ condition: Handle!, _ a: Handle!, _ b: Handle!, _ out: Out!
) -> vq_status {
  produce(out) { try Tensor.choose(tensor(condition), tensor(a), tensor(b)) }
}

@_cdecl("vq_tensor_floor_divide") @implementation
public func vq_tensor_floor_divide(_ a: Handle!, _ b: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try Tensor.floorDivided(tensor(a), tensor(b)) }
}

@_cdecl("vq_tensor_remainder") @implementation
public func vq_tensor_remainder(_ a: Handle!, _ b: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try Tensor.remainder(tensor(a), tensor(b)) }
}

@_cdecl("vq_tensor_bitwise_and") @implementation
public func vq_tensor_bitwise_and(_ a: Handle!, _ b: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try Tensor.bitwise(.and, tensor(a), tensor(b)) }
}

@_cdecl("vq_tensor_bitwise_or") @implementation
public func vq_tensor_bitwise_or(_ a: Handle!, _ b: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try Tensor.bitwise(.or, tensor(a), tensor(b)) }
}

@_cdecl("vq_tensor_bitwise_xor") @implementation
public func vq_tensor_bitwise_xor(_ a: Handle!, _ b: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try Tensor.bitwise(.exclusiveOr, tensor(a), tensor(b)) }
}
