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

@_cdecl("vq_tensor_unary") @implementation
public func vq_tensor_unary(
  _ x: Handle!, _ function: Text!, _ parameter: Float, _ out: Out!
) -> vq_status {
  produce(out) { try tensor(x).function(string(function), parameter) }
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
