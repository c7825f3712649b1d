import CVQSwift
import VQTensor

@_cdecl("vq_tensor_add") @implementation
public func vq_tensor_add(_ a: Handle!, _ b: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try tensor(a) + tensor(b) }
}

@_cdecl("vq_tensor_subtract") @implementation
public func vq_tensor_subtract(_ a: Handle!, _ b: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try tensor(a) - tensor(b) }
}

@_cdecl("vq_tensor_multiply") @implementation
public func vq_tensor_multiply(_ a: Handle!, _ b: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try tensor(a) * tensor(b) }
}

@_cdecl("vq_tensor_divide") @implementation
public func vq_tensor_divide(_ a: Handle!, _ b: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try tensor(a) / tensor(b) }
}

@_cdecl("vq_tensor_maximum") @implementation
public func vq_tensor_maximum(_ a: Handle!, _ b: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try Tensor.maximum(tensor(a), tensor(b)) }
}

@_cdecl("vq_tensor_minimum") @implementation
public func vq_tensor_minimum(_ a: Handle!, _ b: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try Tensor.minimum(tensor(a), tensor(b)) }
}

@_cdecl("vq_tensor_negate") @implementation
public func vq_tensor_negate(_ x: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try -tensor(x) }
}

@_cdecl("vq_tensor_exp") @implementation
public func vq_tensor_exp(_ x: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try tensor(x).exp() }
}

@_cdecl("vq_tensor_log") @implementation
public func vq_tensor_log(_ x: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try tensor(x).log() }
}

@_cdecl("vq_tensor_sqrt") @implementation
public func vq_tensor_sqrt(_ x: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try tensor(x).sqrt() }
}

@_cdecl("vq_tensor_tanh") @implementation
public func vq_tensor_tanh(_ x: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try tensor(x).tanh() }
}

@_cdecl("vq_tensor_sigmoid") @implementation
public func vq_tensor_sigmoid(_ x: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try tensor(x).sigmoid() }
}

@_cdecl("vq_tensor_relu") @implementation
public func vq_tensor_relu(_ x: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try tensor(x).relu() }
}

@_cdecl("vq_tensor_gelu") @implementation
public func vq_tensor_gelu(_ x: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try tensor(x).gelu() }
}

@_cdecl("vq_tensor_silu") @implementation
public func vq_tensor_silu(_ x: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try tensor(x).silu() }
}

@_cdecl("vq_tensor_abs") @implementation
public func vq_tensor_abs(_ x: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try tensor(x).abs() }
}

@_cdecl("vq_tensor_square") @implementation
public func vq_tensor_square(_ x: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try tensor(x).square() }
}

@_cdecl("vq_tensor_pow") @implementation
public func vq_tensor_pow(_ x: Handle!, _ exponent: Float, _ out: Out!) -> vq_status {
  produce(out) { try tensor(x).pow(exponent) }
}

@_cdecl("vq_tensor_clamp") @implementation
public func vq_tensor_clamp(
  _ x: Handle!, _ minimum: UnsafePointer<Float>!, _ maximum: UnsafePointer<Float>!, _ out: Out!
) -> vq_status {
  produce(out) { try tensor(x).clamp(minimum: minimum?.pointee, maximum: maximum?.pointee) }
}

@_cdecl("vq_tensor_dropout") @implementation
public func vq_tensor_dropout(
  _ x: Handle!, _ probability: Float, _ generator: Handle!, _ out: Out!
) -> vq_status {
  produce(out) {
    let x = try tensor(x)
    return try object(generator, GeneratorBox.self).enter("dropout") {
      try x.dropout(probability, generator: $0)
    }
  }
}
