import CVQSwift
import VQNN
import VQQuantizers
import VQTensor

/// Runs `body` on the module of type `type` behind a handle.
func enter<Kind: Module, Result>(
  _ handle: Handle?, _ operation: String, as type: Kind.Type,
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
  _ handle: Handle?, _ operation: String, _ body: (Quantizer) throws -> Result
) throws -> Result {
  try enter(handle, operation, as: Quantizer.self, body)
}

/// Throws unless the caller's struct is the library's.
private func requireSize(_ given: Int, _ expected: Int, _ operation: String) throws {
  guard given == expected else {
    throw VQError.value(
      operation, "struct_size", "\(given)", "this library's struct has \(expected)")
  }
}

/// Writes new handles of a forward's results.
func give(_ out: UnsafeMutablePointer<vq_quantized>?, _ body: () throws -> Quantized) -> vq_status {
  catching {
    let out = try target(out)
    try requireSize(out.pointee.struct_size, MemoryLayout<vq_quantized>.size, "quantizer")
    out.pointee = vq_quantized()
    out.pointee.struct_size = MemoryLayout<vq_quantized>.size
    let result = try body()
    out.pointee.z_q = handle(result.zq)
    out.pointee.q = handle(result.q)
    out.pointee.d = handle(result.d)
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
  _ handle: Handle!, _ z: Handle!, _ logvar: Handle!, _ mask: Handle!, _ stageCount: Int64,
  _ out: UnsafeMutablePointer<vq_quantized>!
) -> vq_status {
  give(out) {
    let (z, logvar, mask) = (try tensor(z), try optionalTensor(logvar), try optionalTensor(mask))
    return try enter(handle, "quantizer") { try forward($0, z, logvar, mask, stageCount) }
  }
}

@_cdecl("vq_quantizer_trace") @implementation
public func vq_quantizer_trace(
  _ handle: Handle!, _ z: Handle!, _ logvar: Handle!, _ mask: Handle!, _ stageCount: Int64,
  _ out: UnsafeMutablePointer<vq_quantized>!, _ state: Out!
) -> vq_status {
  state?.pointee = nil
  return give(out) {
    let (z, logvar, mask) = (try tensor(z), try optionalTensor(logvar), try optionalTensor(mask))
    let state = try target(state)
    let traced = try enter(handle, "quantizer") { quantizer in
      try quantizer.traced { try forward(quantizer, z, logvar, mask, stageCount) }
    }
    state.pointee = VQSwiftC.handle(NamedList(traced.state))
    return traced.result
  }
}

@_cdecl("vq_quantizer_pullback") @implementation
public func vq_quantizer_pullback(
  _ handle: Handle!, _ z: Handle!, _ logvar: Handle!, _ mask: Handle!, _ codes: Handle!,
  _ stageCount: Int64, _ output: Handle!, _ loss: Handle!, _ compared: Handle!,
  _ stageLosses: Handle!, _ out: Out!
) -> vq_status {
  produce(out) {
    let (z, logvar, mask) = (try tensor(z), try optionalTensor(logvar), try optionalTensor(mask))
    let codes = try tensor(codes)
    let cotangents = QuantizedCotangents(
      output: try optionalTensor(output), loss: try optionalTensor(loss),
      compared: try optionalTensor(compared), stageLosses: try optionalTensor(stageLosses))
    let inputs: [NamedTensor] = [("z", z)] + (logvar.map { [("logvar", $0)] } ?? [])
    return try enter(handle, "quantizer.pullback") { quantizer in
      let gradients = try quantizer.pullback(cotangents, of: inputs, mask: mask, codes: codes) {
        try forward(quantizer, $0[0], $0.count > 1 ? $0[1] : nil, mask, stageCount)
      }
      return NamedList(gradients)
    }
  }
}

@_cdecl("vq_quantizer_encode") @implementation
public func vq_quantizer_encode(
  _ handle: Handle!, _ z: Handle!, _ logvar: Handle!, _ mask: Handle!, _ stageCount: Int64,
  _ out: Out!
) -> vq_status {
  produce(out) {
    let (z, logvar, mask) = (try tensor(z), try optionalTensor(logvar), try optionalTensor(mask))
    return try enter(handle, "quantizer.encode") {
      guard let quantizer = try gaussian($0, logvar) else {
        return try $0.encode(z, mask: mask, stages: stages(stageCount))
      }
      return try quantizer.encode(z, logVariance: logvar, mask: mask)
    }
  }
}

private func forward(
  _ quantizer: Quantizer, _ z: Tensor, _ logvar: Tensor?, _ mask: Tensor?, _ stageCount: Int64
) throws -> Quantized {
  guard let gaussian = try gaussian(quantizer, logvar) else {
    return try quantizer.quantize(z, mask: mask, stages: stages(stageCount))
  }
  return try gaussian.quantize(z, logVariance: logvar, mask: mask)
}

/// The quantizer that takes log variances; nil for another, which none may be given to.
private func gaussian(_ quantizer: Quantizer, _ logvar: Tensor?) throws -> SQVAEQuant? {
  if let quantizer = quantizer as? SQVAEQuant { return quantizer }
  guard logvar == nil else {
    throw VQError.misuse("quantizer", "a \(type(of: quantizer)) takes no log variance")
  }
  return nil
}

@_cdecl("vq_quantizer_decode") @implementation
public func vq_quantizer_decode(_ handle: Handle!, _ codes: Handle!, _ out: Out!) -> vq_status {
  produce(out) {
    let codes = try tensor(codes)
    return try enter(handle, "quantizer.decode") { try $0.decode(codes) }
  }
}

@_cdecl("vq_quantizer_fit") @implementation
public func vq_quantizer_fit(
  _ handle: Handle!, _ z: Handle!, _ mask: Handle!, _ iterations: Int64
) -> vq_status {
  catching {
    let (z, mask) = (try tensor(z), try optionalTensor(mask))
    try enter(handle, "quantizer.fit") {
      try $0.fit(z, mask: mask, iterations: Int(iterations))
    }
  }
}

@_cdecl("vq_quantizer_update") @implementation
public func vq_quantizer_update(_ handle: Handle!) -> vq_status {
  catching { try enter(handle, "quantizer.update") { try $0.update() } }
}

@_cdecl("vq_quantizer_codebook_count") @implementation
public func vq_quantizer_codebook_count(_ handle: Handle!) -> Int64 {
  Int64(((try? box(handle))?.content as? CodebookQuantizer)?.holders.count ?? 0)
}

/// The layer of codebook `index` of a quantizer.
private func holder(
  of index: Int64, _ quantizer: Quantizer, _ operation: String
) throws -> CodebookQuantizer {
  let all = (quantizer as? CodebookQuantizer)?.holders ?? []
  guard index >= 0, index < all.count else {
    throw VQError.index(operation, value: Int(index), bound: all.count)
  }
  return all[Int(index)]
}

@_cdecl("vq_quantizer_effective_codebook") @implementation
public func vq_quantizer_effective_codebook(
  _ handle: Handle!, _ index: Int64, _ out: Out!
) -> vq_status {
  produce(out) {
    try enter(handle, "effective_codebook") {
      try holder(of: index, $0, "effective_codebook").effectiveCodebook()
    }
  }
}

@_cdecl("vq_quantizer_set_quantizing") @implementation
public func vq_quantizer_set_quantizing(_ handle: Handle!, _ quantizing: Bool) -> vq_status {
  catching { try enter(handle, "quantizing") { $0.isQuantizing = quantizing } }
}

@_cdecl("vq_quantizer_is_quantizing") @implementation
public func vq_quantizer_is_quantizing(_ handle: Handle!) -> Bool {
  ((try? box(handle))?.content as? Quantizer)?.isQuantizing ?? false
}

@_cdecl("vq_quantizer_set_frozen") @implementation
public func vq_quantizer_set_frozen(_ handle: Handle!, _ frozen: Bool) -> vq_status {
  catching { try enter(handle, "frozen") { $0.isFrozen = frozen } }
}

@_cdecl("vq_quantizer_is_frozen") @implementation
public func vq_quantizer_is_frozen(_ handle: Handle!) -> Bool {
  ((try? box(handle))?.content as? Quantizer)?.isFrozen ?? false
}

@_cdecl("vq_quantizer_set_inplace_optimizer") @implementation
public func vq_quantizer_set_inplace_optimizer(
  _ handle: Handle!, _ index: Int64, _ optimizer: Handle!
) -> vq_status {
  catching {
    let optimizer = try optimizer.map { try object($0, OptimizerBox.self).content }
    try enter(handle, "inplace_optimizer") { quantizer in
      try holder(of: index, quantizer, "inplace_optimizer").stepInPlace(by: optimizer)
    }
  }
}

@_cdecl("vq_gaussian_reconstruction_loss") @implementation
public func vq_gaussian_reconstruction_loss(
  _ x: Handle!, _ reconstruction: Handle!, _ out: Out!
) -> vq_status {
  produce(out) { try gaussianReconstructionLoss(tensor(x), tensor(reconstruction)) }
}
