import CVQSwift
import VQQuantizers
import VQTensor

@_cdecl("vq_fsq_create") @implementation
public func vq_fsq_create(
  _ levels: UnsafePointer<Int64>!, _ count: Int64, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) { try FSQ(levels: sizes(levels, count)) }
}

@_cdecl("vq_lfq_create") @implementation
public func vq_lfq_create(
  _ options: UnsafePointer<vq_lfq_options>!, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) {
    let given = try value(options)
    try requireSize(given.struct_size, MemoryLayout<vq_lfq_options>.size, "lfq")
    var options = LFQOptions(bits: Int(given.bits))
    options.commitmentWeight = given.commitment_weight
    options.entropyWeight = given.entropy_weight
    options.diversity = given.diversity
    options.temperature = given.temperature
    return try LFQ(options)
  }
}

private func schedule(_ temperature: Float, _ decay: Float, _ minimum: Float) -> GumbelSchedule {
  var schedule = GumbelSchedule()
  schedule.temperature = temperature
  schedule.decay = decay
  schedule.minimum = minimum
  return schedule
}

@_cdecl("vq_gumbel_quant_create") @implementation
public func vq_gumbel_quant_create(
  _ options: UnsafePointer<vq_gumbel_quant_options>!, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) {
    let given = try value(options)
    try requireSize(given.struct_size, MemoryLayout<vq_gumbel_quant_options>.size, "gumbel_quant")
    var options = GumbelQuantOptions(
      featureSize: Int(given.feature_size), codeCount: Int(given.num_codes))
    options.codeSize = Int(given.code_size)
    options.schedule = schedule(
      given.temperature, given.temperature_decay, given.temperature_min)
    options.klWeight = given.kl_weight
    options.isHard = given.hard
    options.seed = given.seed
    options.stream = given.stream
    return try GumbelQuant(options)
  }
}

@_cdecl("vq_gaussian_quant_create") @implementation
public func vq_gaussian_quant_create(
  _ options: UnsafePointer<vq_gaussian_quant_options>!,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) {
    let given = try value(options)
    try requireSize(
      given.struct_size, MemoryLayout<vq_gaussian_quant_options>.size, "gaussian_quant")
    var options = GaussianQuantOptions(
      featureSize: Int(given.feature_size), codeCount: Int(given.num_codes))
    guard let kind = VarianceKind(rawValue: given.kind) else {
      throw VQError.value("gaussian_quant", "kind", "\(given.kind)", "must be in 1...4")
    }
    options.kind = kind
    options.schedule = schedule(
      given.temperature, given.temperature_decay, given.temperature_min)
    options.seed = given.seed
    options.stream = given.stream
    return try GaussianQuant(options)
  }
}

@_cdecl("vq_gaussian_quant_forward") @implementation
public func vq_gaussian_quant_forward(
  _ handle: OpaquePointer!, _ z: OpaquePointer!, _ logvar: OpaquePointer!, _ mask: OpaquePointer!,
  _ out: UnsafeMutablePointer<vq_quantized>!
) -> vq_status {
  give(out) {
    let (z, logvar, mask) = (
      try tensor(z), try optionalTensor(logvar), try optionalTensor(mask)
    )
    return try enter(handle, "gaussian_quant", as: GaussianQuant.self) {
      try $0.quantize(z, logVariance: logvar, mask: mask)
    }
  }
}

@_cdecl("vq_gaussian_quant_encode") @implementation
public func vq_gaussian_quant_encode(
  _ handle: OpaquePointer!, _ z: OpaquePointer!, _ logvar: OpaquePointer!, _ mask: OpaquePointer!,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) {
    let (z, logvar, mask) = (
      try tensor(z), try optionalTensor(logvar), try optionalTensor(mask)
    )
    return try enter(handle, "gaussian_quant.encode", as: GaussianQuant.self) {
      try $0.encode(z, logVariance: logvar, mask: mask)
    }
  }
}

@_cdecl("vq_gaussian_reconstruction_loss") @implementation
public func vq_gaussian_reconstruction_loss(
  _ x: OpaquePointer!, _ reconstruction: OpaquePointer!,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) { try gaussianReconstructionLoss(tensor(x), tensor(reconstruction)) }
}
