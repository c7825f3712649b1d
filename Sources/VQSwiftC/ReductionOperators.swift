import CVQSwift
import VQTensor

/// Writes a handle of what `body` makes of a tensor and axes, nil for all.
private func reduce(
  _ x: Handle?, _ axes: Sizes?, _ count: Int64, _ out: Out?,
  _ body: (Tensor, [Int]?) throws -> Tensor
) -> vq_status {
  produce(out) { try body(tensor(x), axes.map { try sizes($0, count) }) }
}

@_cdecl("vq_tensor_sum") @implementation
public func vq_tensor_sum(
  _ x: Handle!, _ axes: Sizes!, _ count: Int64, _ keepDims: Bool, _ out: Out!
) -> vq_status {
  reduce(x, axes, count, out) { try $0.sum(axes: $1, keepDims: keepDims) }
}

@_cdecl("vq_tensor_mean") @implementation
public func vq_tensor_mean(
  _ x: Handle!, _ axes: Sizes!, _ count: Int64, _ keepDims: Bool, _ out: Out!
) -> vq_status {
  reduce(x, axes, count, out) { try $0.mean(axes: $1, keepDims: keepDims) }
}

@_cdecl("vq_tensor_max") @implementation
public func vq_tensor_max(
  _ x: Handle!, _ axes: Sizes!, _ count: Int64, _ keepDims: Bool, _ out: Out!
) -> vq_status {
  reduce(x, axes, count, out) { try $0.max(axes: $1, keepDims: keepDims) }
}

@_cdecl("vq_tensor_min") @implementation
public func vq_tensor_min(
  _ x: Handle!, _ axes: Sizes!, _ count: Int64, _ keepDims: Bool, _ out: Out!
) -> vq_status {
  reduce(x, axes, count, out) { try $0.min(axes: $1, keepDims: keepDims) }
}

@_cdecl("vq_tensor_variance") @implementation
public func vq_tensor_variance(
  _ x: Handle!, _ axes: Sizes!, _ count: Int64, _ keepDims: Bool, _ unbiased: Bool, _ out: Out!
) -> vq_status {
  reduce(x, axes, count, out) {
    try $0.variance(axes: $1, keepDims: keepDims, unbiased: unbiased)
  }
}

@_cdecl("vq_tensor_reduce") @implementation
public func vq_tensor_reduce(
  _ x: Handle!, _ function: Text!, _ parameter: Float, _ axes: Sizes!, _ count: Int64,
  _ keepDims: Bool, _ out: Out!
) -> vq_status {
  reduce(x, axes, count, out) {
    try $0.reduce(string(function), parameter, axes: $1, keepDims: keepDims)
  }
}

@_cdecl("vq_tensor_argmax") @implementation
public func vq_tensor_argmax(_ x: Handle!, _ axis: Int64, _ out: Out!) -> vq_status {
  produce(out) { try tensor(x).argmax(axis: Int(axis)) }
}

@_cdecl("vq_tensor_softmax") @implementation
public func vq_tensor_softmax(_ x: Handle!, _ axis: Int64, _ out: Out!) -> vq_status {
  produce(out) { try tensor(x).softmax(axis: Int(axis)) }
}

@_cdecl("vq_tensor_log_softmax") @implementation
public func vq_tensor_log_softmax(_ x: Handle!, _ axis: Int64, _ out: Out!) -> vq_status {
  produce(out) { try tensor(x).logSoftmax(axis: Int(axis)) }
}

@_cdecl("vq_tensor_attention") @implementation
public func vq_tensor_attention(
  _ query: Handle!, _ key: Handle!, _ value: Handle!, _ mask: Handle!, _ heads: Int64,
  _ causal: Bool, _ scale: Float, _ out: Out!
) -> vq_status {
  produce(out) {
    let (query, mask) = (try tensor(query), try optionalTensor(mask))
    if key == nil, value == nil {
      return try query.selfAttention(
        mask: mask, heads: Int(heads), isCausal: causal, scale: scale)
    }
    return try query.attention(
      key: tensor(key), value: tensor(value), mask: mask, heads: Int(heads), isCausal: causal,
      scale: scale)
  }
}

@_cdecl("vq_tensor_mse_loss") @implementation
public func vq_tensor_mse_loss(_ prediction: Handle!, _ target: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try tensor(prediction).meanSquaredError(tensor(target)) }
}

@_cdecl("vq_tensor_l1_loss") @implementation
public func vq_tensor_l1_loss(_ prediction: Handle!, _ target: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try tensor(prediction).meanAbsoluteError(tensor(target)) }
}

@_cdecl("vq_tensor_cross_entropy") @implementation
public func vq_tensor_cross_entropy(
  _ logits: Handle!, _ labels: Handle!, _ labelSmoothing: Float, _ out: Out!
) -> vq_status {
  produce(out) { try tensor(logits).crossEntropy(tensor(labels), labelSmoothing: labelSmoothing) }
}
