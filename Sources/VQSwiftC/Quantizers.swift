import CVQSwift
import VQNN
import VQQuantizers
import VQTensor

private func norm(_ code: Int32, _ name: String) throws -> VectorNorm {
  guard let norm = VectorNorm(rawValue: code) else {
    throw VQError.value("vector_quant", name, "\(code)", "it must be a VQ_NORM_*")
  }
  return norm
}

@_cdecl("vq_vector_quant_create") @implementation
public func vq_vector_quant_create(
  _ options: UnsafePointer<vq_vector_quant_options>!, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) {
    let given = try value(options)
    try requireSize(given.struct_size, MemoryLayout<vq_vector_quant_options>.size, "vector_quant")
    var options = VectorQuantOptions(
      featureSize: Int(given.feature_size), codeCount: Int(given.num_codes))
    options.beta = given.beta
    options.syncNu = given.sync_nu
    options.affineLearningRate = given.affine_lr
    options.affineGroups = Int(given.affine_groups)
    options.replaceFrequency = Int(given.replace_freq)
    options.kMeansInit = given.kmeans_init
    options.norm = try norm(given.norm, "norm")
    options.codebookNorm = try norm(given.cb_norm, "cb_norm")
    options.innerSteps = Int(given.inner_steps)
    options.outerSteps = Int(given.outer_steps)
    options.reassign = given.reassign
    options.seed = given.seed
    options.stream = given.stream
    return try VectorQuant(options)
  }
}

/// Runs `body` on the quantizer behind a module handle.
private func enter<Result>(
  _ handle: OpaquePointer?, _ operation: String, _ body: (VectorQuant) throws -> Result
) throws -> Result {
  try box(handle).enter(operation) { module in
    guard let quantizer = module as? VectorQuant else {
      throw VQError.misuse(operation, "the module is a \(type(of: module)), not a quantizer")
    }
    return try body(quantizer)
  }
}

@_cdecl("vq_quantizer_forward") @implementation
public func vq_quantizer_forward(
  _ handle: OpaquePointer!, _ z: OpaquePointer!, _ out: UnsafeMutablePointer<vq_quantized>!
) -> vq_status {
  catching {
    let out = try target(out)
    try requireSize(out.pointee.struct_size, MemoryLayout<vq_quantized>.size, "vector_quant")
    out.pointee = vq_quantized()
    out.pointee.struct_size = MemoryLayout<vq_quantized>.size
    let z = try tensor(z)
    let result = try enter(handle, "vector_quant") { try $0.quantize(z) }
    out.pointee.z_q = VQSwiftC.handle(result.zq)
    out.pointee.codes = VQSwiftC.handle(result.q)
    out.pointee.distances = VQSwiftC.handle(result.d)
    out.pointee.loss = VQSwiftC.handle(result.loss)
    out.pointee.z = VQSwiftC.handle(result.z)
    out.pointee.commitment_loss = result.commitmentLoss
    out.pointee.codebook_loss = result.codebookLoss
    out.pointee.perplexity = result.perplexity
    out.pointee.active_codes = Int64(result.activeCodes)
  }
}

@_cdecl("vq_quantizer_encode") @implementation
public func vq_quantizer_encode(
  _ handle: OpaquePointer!, _ z: OpaquePointer!, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) {
    let z = try tensor(z)
    return try enter(handle, "vector_quant.encode") { try $0.encode(z) }
  }
}

@_cdecl("vq_quantizer_decode") @implementation
public func vq_quantizer_decode(
  _ handle: OpaquePointer!, _ codes: OpaquePointer!, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) {
    let codes = try tensor(codes)
    return try enter(handle, "vector_quant.decode") { try $0.decode(codes) }
  }
}

@_cdecl("vq_quantizer_effective_codebook") @implementation
public func vq_quantizer_effective_codebook(
  _ handle: OpaquePointer!, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) {
    try enter(handle, "effective_codebook") { quantizer in
      try withoutGradients { try quantizer.effectiveCodebook() }
    }
  }
}

@_cdecl("vq_quantizer_set_inplace_optimizer") @implementation
public func vq_quantizer_set_inplace_optimizer(
  _ handle: OpaquePointer!, _ optimizer: OpaquePointer!
) -> vq_status {
  catching {
    let optimizer = try optimizer.map { try object($0, OptimizerBox.self).optimizer }
    try enter(handle, "inplace_optimizer") { $0.inplaceOptimizer = optimizer }
  }
}
