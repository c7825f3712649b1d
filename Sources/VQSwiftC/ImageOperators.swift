import CVQSwift
import VQTensor

@_cdecl("vq_tensor_conv2d") @implementation
public func vq_tensor_conv2d(
  _ x: Handle!, _ weight: Handle!, _ bias: Handle!, _ stride: Sizes!, _ padding: Sizes!,
  _ dilation: Sizes!, _ groups: Int64, _ out: Out!
) -> vq_status {
  produce(out) {
    try tensor(x).conv2d(
      tensor(weight), bias: optionalTensor(bias), stride: pair(stride), padding: pair(padding),
      dilation: pair(dilation), groups: Int(groups))
  }
}

@_cdecl("vq_tensor_conv_transpose2d") @implementation
public func vq_tensor_conv_transpose2d(
  _ x: Handle!, _ weight: Handle!, _ bias: Handle!, _ stride: Sizes!, _ padding: Sizes!,
  _ outputPadding: Sizes!, _ dilation: Sizes!, _ groups: Int64, _ out: Out!
) -> vq_status {
  produce(out) {
    try tensor(x).convTranspose2d(
      tensor(weight), bias: optionalTensor(bias), stride: pair(stride), padding: pair(padding),
      outputPadding: pair(outputPadding), dilation: pair(dilation), groups: Int(groups))
  }
}

@_cdecl("vq_tensor_max_pool2d") @implementation
public func vq_tensor_max_pool2d(
  _ x: Handle!, _ kernel: Sizes!, _ stride: Sizes!, _ padding: Sizes!, _ out: Out!
) -> vq_status {
  produce(out) {
    try tensor(x).maxPool2d(
      kernel: pair(kernel), stride: pair(stride), padding: pair(padding))
  }
}

@_cdecl("vq_tensor_average_pool2d") @implementation
public func vq_tensor_average_pool2d(
  _ x: Handle!, _ kernel: Sizes!, _ stride: Sizes!, _ padding: Sizes!, _ out: Out!
) -> vq_status {
  produce(out) {
    try tensor(x).averagePool2d(
      kernel: pair(kernel), stride: pair(stride), padding: pair(padding))
  }
}

@_cdecl("vq_tensor_upsample_nearest2d") @implementation
public func vq_tensor_upsample_nearest2d(_ x: Handle!, _ scale: Sizes!, _ out: Out!) -> vq_status {
  produce(out) { try tensor(x).upsampleNearest2d(scale: pair(scale)) }
}

@_cdecl("vq_tensor_batch_norm") @implementation
public func vq_tensor_batch_norm(
  _ x: Handle!, _ scale: Handle!, _ shift: Handle!, _ runningMean: Handle!,
  _ runningVariance: Handle!, _ training: Bool, _ momentum: Float, _ epsilon: Float, _ out: Out!
) -> vq_status {
  produce(out) {
    try tensor(x).batchNorm(
      scale: tensor(scale), shift: tensor(shift),
      runningMean: owned(runningMean, "batch_norm"),
      runningVariance: owned(runningVariance, "batch_norm"), training: training,
      momentum: momentum, epsilon: epsilon)
  }
}

@_cdecl("vq_tensor_layer_norm") @implementation
public func vq_tensor_layer_norm(
  _ x: Handle!, _ weight: Handle!, _ bias: Handle!, _ centers: Bool, _ epsilon: Float, _ out: Out!
) -> vq_status {
  produce(out) {
    let (weight, bias) = (try tensor(weight), try optionalTensor(bias))
    guard centers || bias == nil else {
      throw VQError.misuse("rms_norm", "it has no bias")
    }
    return try centers
      ? tensor(x).layerNorm(over: weight.shape, weight: weight, bias: bias, epsilon: epsilon)
      : tensor(x).rmsNorm(over: weight.shape, weight: weight, epsilon: epsilon)
  }
}

@_cdecl("vq_tensor_group_norm") @implementation
public func vq_tensor_group_norm(
  _ x: Handle!, _ groups: Int64, _ weight: Handle!, _ bias: Handle!, _ epsilon: Float, _ out: Out!
) -> vq_status {
  produce(out) {
    try tensor(x).groupNorm(
      groups: Int(groups), weight: optionalTensor(weight), bias: optionalTensor(bias),
      epsilon: epsilon)
  }
}
