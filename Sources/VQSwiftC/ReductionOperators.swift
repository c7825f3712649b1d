import CVQSwift
import VQTensor

@_cdecl("vq_tensor_sum") @implementation
public func vq_tensor_sum(
  _ x: OpaquePointer!, _ axes: UnsafePointer<Int64>!, _ count: Int64, _ keepDims: Bool,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) {
    try tensor(x).sum(axes: try axes.map { try sizes($0, count) }, keepDims: keepDims)
  }
}

@_cdecl("vq_tensor_mean") @implementation
public func vq_tensor_mean(
  _ x: OpaquePointer!, _ axes: UnsafePointer<Int64>!, _ count: Int64, _ keepDims: Bool,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) {
    try tensor(x).mean(axes: try axes.map { try sizes($0, count) }, keepDims: keepDims)
  }
}

@_cdecl("vq_tensor_max") @implementation
public func vq_tensor_max(
  _ x: OpaquePointer!, _ axes: UnsafePointer<Int64>!, _ count: Int64, _ keepDims: Bool,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) {
    try tensor(x).max(axes: try axes.map { try sizes($0, count) }, keepDims: keepDims)
  }
}

@_cdecl("vq_tensor_min") @implementation
public func vq_tensor_min(
  _ x: OpaquePointer!, _ axes: UnsafePointer<Int64>!, _ count: Int64, _ keepDims: Bool,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) {
    try tensor(x).min(axes: try axes.map { try sizes($0, count) }, keepDims: keepDims)
  }
}

@_cdecl("vq_tensor_variance") @implementation
public func vq_tensor_variance(
  _ x: OpaquePointer!, _ axes: UnsafePointer<Int64>!, _ count: Int64, _ keepDims: Bool,
  _ unbiased: Bool, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) {
    try tensor(x).variance(
      axes: try axes.map { try sizes($0, count) }, keepDims: keepDims, unbiased: unbiased)
  }
}

@_cdecl("vq_tensor_argmax") @implementation
public func vq_tensor_argmax(
  _ x: OpaquePointer!, _ axis: Int64, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) { try tensor(x).argmax(axis: Int(axis)) }
}

@_cdecl("vq_tensor_softmax") @implementation
public func vq_tensor_softmax(
  _ x: OpaquePointer!, _ axis: Int64, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) { try tensor(x).softmax(axis: Int(axis)) }
}

@_cdecl("vq_tensor_log_softmax") @implementation
public func vq_tensor_log_softmax(
  _ x: OpaquePointer!, _ axis: Int64, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) { try tensor(x).logSoftmax(axis: Int(axis)) }
}

@_cdecl("vq_tensor_mse_loss") @implementation
public func vq_tensor_mse_loss(
  _ prediction: OpaquePointer!, _ target: OpaquePointer!,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) { try tensor(prediction).meanSquaredError(tensor(target)) }
}

@_cdecl("vq_tensor_l1_loss") @implementation
public func vq_tensor_l1_loss(
  _ prediction: OpaquePointer!, _ target: OpaquePointer!,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) { try tensor(prediction).meanAbsoluteError(tensor(target)) }
}

@_cdecl("vq_tensor_cross_entropy") @implementation
public func vq_tensor_cross_entropy(
  _ logits: OpaquePointer!, _ labels: OpaquePointer!, _ labelSmoothing: Float,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) { try tensor(logits).crossEntropy(tensor(labels), labelSmoothing: labelSmoothing) }
}
