import CVQSwift
import VQNN
import VQQuantizers
import VQTensor

private func choice<Choice: RawRepresentable<Int32>>(
  _ code: Int32, _ name: String, _ family: String
) throws -> Choice {
  guard let choice = Choice(rawValue: code) else {
    throw VQError.value("vector_quant", name, "\(code)", "it must be a VQ_\(family)_*")
  }
  return choice
}

private func options(
  _ pointer: UnsafePointer<vq_vector_quant_options>?
) throws -> VectorQuantOptions {
  let given = try value(pointer)
  try requireSize(given.struct_size, MemoryLayout<vq_vector_quant_options>.size, "vector_quant")
  var options = VectorQuantOptions(
    featureSize: Int(given.feature_size), codeCount: Int(given.num_codes))
  options.codeSize = given.code_size == 0 ? nil : Int(given.code_size)
  options.beta = given.beta
  options.syncNu = given.sync_nu
  options.gradient = try choice(given.gradient, "gradient", "GRADIENT")
  options.directionalVariance = given.directional_variance
  options.affine = try choice(given.affine, "affine", "AFFINE")
  options.affineLearningRate = given.affine_lr
  options.affineMomentum = given.affine_momentum
  options.affineGroups = Int(given.affine_groups)
  options.emaDecay = given.ema_decay
  options.emaEpsilon = given.ema_epsilon
  options.emaManual = given.ema_manual
  options.isSimVQ = given.simvq
  options.replaceFrequency = Int(given.replace_freq)
  options.start = try choice(given.start, "start", "START")
  options.kMeansFrequency = Int(given.kmeans_freq)
  options.norm = try choice(given.norm, "norm", "NORM")
  options.codebookNorm = try choice(given.cb_norm, "cb_norm", "NORM")
  options.maximumNorm = given.max_norm
  options.normGroups = Int(given.norm_groups)
  options.temperature = given.temperature
  options.temperatureDecay = given.temperature_decay
  options.temperatureMinimum = given.temperature_min
  options.orthogonalWeight = given.orthogonal_weight
  options.entropyWeight = given.entropy_weight
  options.entropyTemperature = given.entropy_temperature
  options.innerSteps = Int(given.inner_steps)
  options.outerSteps = Int(given.outer_steps)
  options.reassign = given.reassign
  options.seed = given.seed
  options.stream = given.stream
  return options
}

@_cdecl("vq_vector_quant_defaults") @implementation
public func vq_vector_quant_defaults(
  _ featureSize: Int64, _ codeCount: Int64, _ out: UnsafeMutablePointer<vq_vector_quant_options>!
) {
  guard let out else { return }
  let plain = VectorQuantOptions(featureSize: 1, codeCount: 1)
  out.pointee = vq_vector_quant_options()
  out.pointee.struct_size = MemoryLayout<vq_vector_quant_options>.size
  out.pointee.feature_size = featureSize
  out.pointee.num_codes = codeCount
  out.pointee.beta = plain.beta
  out.pointee.directional_variance = plain.directionalVariance
  out.pointee.affine_momentum = plain.affineMomentum
  out.pointee.affine_groups = Int64(plain.affineGroups)
  out.pointee.ema_epsilon = plain.emaEpsilon
  out.pointee.max_norm = plain.maximumNorm
  out.pointee.norm_groups = Int64(plain.normGroups)
  out.pointee.temperature_decay = plain.temperatureDecay
  out.pointee.entropy_temperature = plain.entropyTemperature
  out.pointee.inner_steps = Int64(plain.innerSteps)
  out.pointee.outer_steps = Int64(plain.outerSteps)
}

@_cdecl("vq_vector_quant_create") @implementation
public func vq_vector_quant_create(
  _ given: UnsafePointer<vq_vector_quant_options>!, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) { try VectorQuant(options(given)) }
}

@_cdecl("vq_group_vector_quant_create") @implementation
public func vq_group_vector_quant_create(
  _ given: UnsafePointer<vq_vector_quant_options>!, _ groups: Int64, _ shared: Bool,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) {
    try GroupVectorQuant(options(given), groups: Int(groups), isShared: shared)
  }
}

@_cdecl("vq_residual_vector_quant_create") @implementation
public func vq_residual_vector_quant_create(
  _ given: UnsafePointer<vq_vector_quant_options>!, _ stages: Int64, _ shared: Bool,
  _ dropout: Float, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) {
    try ResidualVectorQuant(
      options(given), stages: Int(stages), isShared: shared, dropout: dropout)
  }
}

/// Runs `body` on the module of type `type` behind a handle.
func enter<Kind: Module, Result>(
  _ handle: OpaquePointer?, _ operation: String, as type: Kind.Type,
  _ body: (Kind) throws -> Result
) throws -> Result {
  try box(handle).enter(operation) { module in
    guard let quantizer = module as? Kind else {
      throw VQError.misuse(operation, "the module is a \(Swift.type(of: module)), not a \(type)")
    }
    return try body(quantizer)
  }
}

private func enter<Result>(
  _ handle: OpaquePointer?, _ operation: String, _ body: (Quantizer) throws -> Result
) throws -> Result {
  try enter(handle, operation, as: Quantizer.self, body)
}

/// Writes new handles of a forward's results.
func give(
  _ out: UnsafeMutablePointer<vq_quantized>?, _ body: () throws -> Quantized
) -> vq_status {
  catching {
    let out = try target(out)
    try requireSize(out.pointee.struct_size, MemoryLayout<vq_quantized>.size, "quantizer")
    out.pointee = vq_quantized()
    out.pointee.struct_size = MemoryLayout<vq_quantized>.size
    let result = try body()
    out.pointee.z_q = handle(result.zq)
    out.pointee.codes = handle(result.q)
    out.pointee.distances = handle(result.d)
    out.pointee.loss = handle(result.loss)
    out.pointee.z = handle(result.z)
    out.pointee.stage_losses = handle(result.stageLosses)
    out.pointee.stage_perplexities = handle(result.stagePerplexities)
    out.pointee.commitment_loss = result.commitmentLoss
    out.pointee.codebook_loss = result.codebookLoss
    out.pointee.regularization = result.regularization
    out.pointee.perplexity = result.perplexity
    out.pointee.active_codes = Int64(result.activeCodes)
  }
}

/// The stages that a caller names, 0 for all.
private func stages(_ count: Int64) -> Int? { count == 0 ? nil : Int(count) }

@_cdecl("vq_quantizer_forward") @implementation
public func vq_quantizer_forward(
  _ handle: OpaquePointer!, _ z: OpaquePointer!, _ mask: OpaquePointer!, _ stageCount: Int64,
  _ out: UnsafeMutablePointer<vq_quantized>!
) -> vq_status {
  give(out) {
    let (z, mask) = (try tensor(z), try optionalTensor(mask))
    return try enter(handle, "quantizer") {
      try $0.quantize(z, mask: mask, stages: stages(stageCount))
    }
  }
}

@_cdecl("vq_quantizer_encode") @implementation
public func vq_quantizer_encode(
  _ handle: OpaquePointer!, _ z: OpaquePointer!, _ mask: OpaquePointer!, _ stageCount: Int64,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) {
    let (z, mask) = (try tensor(z), try optionalTensor(mask))
    return try enter(handle, "quantizer.encode") {
      try $0.encode(z, mask: mask, stages: stages(stageCount))
    }
  }
}

@_cdecl("vq_quantizer_decode") @implementation
public func vq_quantizer_decode(
  _ handle: OpaquePointer!, _ codes: OpaquePointer!, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) {
    let codes = try tensor(codes)
    return try enter(handle, "quantizer.decode") { try $0.decode(codes) }
  }
}

@_cdecl("vq_quantizer_fit") @implementation
public func vq_quantizer_fit(
  _ handle: OpaquePointer!, _ z: OpaquePointer!, _ mask: OpaquePointer!, _ iterations: Int64
) -> vq_status {
  catching {
    let (z, mask) = (try tensor(z), try optionalTensor(mask))
    try enter(handle, "quantizer.fit") {
      try $0.fit(z, mask: mask, iterations: Int(iterations))
    }
  }
}

@_cdecl("vq_quantizer_update") @implementation
public func vq_quantizer_update(_ handle: OpaquePointer!) -> vq_status {
  catching { try enter(handle, "quantizer.update") { try $0.update() } }
}

@_cdecl("vq_quantizer_codebook_count") @implementation
public func vq_quantizer_codebook_count(_ handle: OpaquePointer!) -> Int64 {
  Int64(((try? box(handle))?.module as? Quantizer)?.vectorQuants.count ?? 0)
}

/// Codebook `index` of a quantizer.
private func codebook(
  _ quantizer: Quantizer, _ index: Int64, _ operation: String
) throws -> VectorQuant {
  let all = quantizer.vectorQuants
  guard index >= 0, index < all.count else {
    throw VQError.index(operation, value: Int(index), bound: all.count)
  }
  return all[Int(index)]
}

@_cdecl("vq_quantizer_effective_codebook") @implementation
public func vq_quantizer_effective_codebook(
  _ handle: OpaquePointer!, _ index: Int64, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) {
    try enter(handle, "effective_codebook") {
      try codebook($0, index, "effective_codebook").effectiveCodebook()
    }
  }
}

@_cdecl("vq_quantizer_set_quantizing") @implementation
public func vq_quantizer_set_quantizing(_ handle: OpaquePointer!, _ quantizing: Bool) -> vq_status {
  catching { try enter(handle, "quantizing") { $0.isQuantizing = quantizing } }
}

@_cdecl("vq_quantizer_is_quantizing") @implementation
public func vq_quantizer_is_quantizing(_ handle: OpaquePointer!) -> Bool {
  ((try? box(handle))?.module as? Quantizer)?.isQuantizing ?? false
}

@_cdecl("vq_quantizer_set_frozen") @implementation
public func vq_quantizer_set_frozen(_ handle: OpaquePointer!, _ frozen: Bool) -> vq_status {
  catching { try enter(handle, "frozen") { $0.isFrozen = frozen } }
}

@_cdecl("vq_quantizer_is_frozen") @implementation
public func vq_quantizer_is_frozen(_ handle: OpaquePointer!) -> Bool {
  ((try? box(handle))?.module as? Quantizer)?.isFrozen ?? false
}

@_cdecl("vq_quantizer_set_inplace_optimizer") @implementation
public func vq_quantizer_set_inplace_optimizer(
  _ handle: OpaquePointer!, _ index: Int64, _ optimizer: OpaquePointer!
) -> vq_status {
  catching {
    let optimizer = try optimizer.map { try object($0, OptimizerBox.self).optimizer }
    try enter(handle, "inplace_optimizer") { quantizer in
      let layer = try codebook(quantizer, index, "inplace_optimizer")
      if optimizer != nil { try layer.checkInplaceSupport() }
      layer.inplaceOptimizer = optimizer
    }
  }
}
