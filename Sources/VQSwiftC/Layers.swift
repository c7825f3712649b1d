import CVQSwift
import VQModels
import VQNN
import VQTensor

@_cdecl("vq_linear_create") @implementation
public func vq_linear_create(
  _ inputs: Int64, _ outputs: Int64, _ bias: Bool, _ source: OpaquePointer!,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) {
    try Linear(
      inputs: Int(inputs), outputs: Int(outputs), bias: bias, generator: generator(source))
  }
}

@_cdecl("vq_conv2d_create") @implementation
public func vq_conv2d_create(
  _ options: UnsafePointer<vq_conv2d_options>!, _ source: OpaquePointer!,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) {
    let o = try value(options)
    try requireSize(o.struct_size, MemoryLayout<vq_conv2d_options>.size, "conv2d")
    return try Conv2d(
      inputs: Int(o.input_channels), outputs: Int(o.output_channels), kernel: integers(o.kernel),
      stride: integers(o.stride), padding: integers(o.padding), bias: o.bias,
      generator: generator(source))
  }
}

@_cdecl("vq_conv_transpose2d_create") @implementation
public func vq_conv_transpose2d_create(
  _ options: UnsafePointer<vq_conv2d_options>!, _ source: OpaquePointer!,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) {
    let o = try value(options)
    try requireSize(o.struct_size, MemoryLayout<vq_conv2d_options>.size, "conv_transpose2d")
    return try ConvTranspose2d(
      inputs: Int(o.input_channels), outputs: Int(o.output_channels), kernel: integers(o.kernel),
      stride: integers(o.stride), padding: integers(o.padding),
      outputPadding: integers(o.output_padding), bias: o.bias, generator: generator(source))
  }
}

private func integers(_ pair: (Int64, Int64)) -> (Int, Int) { (Int(pair.0), Int(pair.1)) }

@_cdecl("vq_batch_norm_create") @implementation
public func vq_batch_norm_create(
  _ features: Int64, _ epsilon: Float, _ momentum: Float,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) {
    try BatchNorm(channels: Int(features), momentum: momentum, epsilon: epsilon)
  }
}

@_cdecl("vq_layer_norm_create") @implementation
public func vq_layer_norm_create(
  _ features: Int64, _ epsilon: Float, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) { try LayerNorm([Int(features)], epsilon: epsilon) }
}

@_cdecl("vq_embedding_create") @implementation
public func vq_embedding_create(
  _ count: Int64, _ features: Int64, _ source: OpaquePointer!,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) {
    try Embedding(count: Int(count), features: Int(features), generator: generator(source))
  }
}

@_cdecl("vq_activation_create") @implementation
public func vq_activation_create(
  _ kind: vq_activation, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) {
    switch kind {
    case VQ_RELU: ReLU()
    case VQ_GELU: GELU()
    case VQ_SILU: SiLU()
    case VQ_TANH: Tanh()
    case VQ_SIGMOID: Sigmoid()
    case VQ_IDENTITY: Identity()
    case VQ_FLATTEN: try Flatten()
    default:
      throw VQError.value("activation", "kind", "\(kind.rawValue)", "it must be a vq_activation")
    }
  }
}

@_cdecl("vq_dropout_create") @implementation
public func vq_dropout_create(
  _ probability: Float, _ source: OpaquePointer!, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) { try Dropout(probability, generator: generator(source)) }
}

@_cdecl("vq_max_pool2d_create") @implementation
public func vq_max_pool2d_create(
  _ kernel: UnsafePointer<Int64>!, _ stride: UnsafePointer<Int64>!,
  _ padding: UnsafePointer<Int64>!, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) {
    try MaxPool2d(kernel: pair(kernel), stride: pair(stride), padding: pair(padding))
  }
}

@_cdecl("vq_average_pool2d_create") @implementation
public func vq_average_pool2d_create(
  _ kernel: UnsafePointer<Int64>!, _ stride: UnsafePointer<Int64>!,
  _ padding: UnsafePointer<Int64>!, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) {
    try AveragePool2d(kernel: pair(kernel), stride: pair(stride), padding: pair(padding))
  }
}

@_cdecl("vq_upsample_nearest2d_create") @implementation
public func vq_upsample_nearest2d_create(
  _ scale: UnsafePointer<Int64>!, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) { try UpsampleNearest2d(scale: pair(scale)) }
}

@_cdecl("vq_sequential_create") @implementation
public func vq_sequential_create(
  _ modules: UnsafePointer<OpaquePointer?>!, _ count: Int64,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) { Sequential(try list(modules, count).map { try box($0).module }) }
}

@_cdecl("vq_residual_create") @implementation
public func vq_residual_create(
  _ body: OpaquePointer!, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) { Residual(try box(body).module) }
}

private func imageSize(_ size: Int64) throws -> SQVAEImageSize {
  guard let result = SQVAEImageSize(rawValue: Int(size)) else {
    throw VQError.value("sqvae", "image_size", "\(size)", "the backbone exists for 32 and 28")
  }
  return result
}

@_cdecl("vq_sqvae_encoder_create") @implementation
public func vq_sqvae_encoder_create(
  _ size: Int64, _ channels: Int64, _ width: Int64, _ source: OpaquePointer!,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) {
    try sqvaeEncoder(
      channels: Int(channels), width: Int(width), imageSize: imageSize(size),
      generator: generator(source))
  }
}

@_cdecl("vq_sqvae_decoder_create") @implementation
public func vq_sqvae_decoder_create(
  _ size: Int64, _ channels: Int64, _ width: Int64, _ source: OpaquePointer!,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) {
    try sqvaeDecoder(
      channels: Int(channels), width: Int(width), imageSize: imageSize(size),
      generator: generator(source))
  }
}

@_cdecl("vq_resnet50_create") @implementation
public func vq_resnet50_create(
  _ channels: Int64, _ classes: Int64, _ smallImages: Bool, _ source: OpaquePointer!,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) {
    try ResNet50(
      channels: Int(channels), classes: Int(classes), smallImages: smallImages,
      generator: generator(source))
  }
}
