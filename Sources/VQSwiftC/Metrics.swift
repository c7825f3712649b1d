import CVQSwift
import VQMetrics
import VQQuantizers
import VQTensor

/// Writes the number that `body` computes.
private func measure(_ out: DoublesOut?, _ body: () throws -> Double) -> vq_status {
  catching {
    let out = try target(out)
    out.pointee = try body()
  }
}

private func usage(_ counts: UnsafePointer<Int64>?, _ codeCount: Int64) throws -> CodeUsage {
  try CodeUsage(counts: Array(list(counts, codeCount, atMost: Int64(Int32.max))))
}

@_cdecl("vq_count_codes") @implementation
public func vq_count_codes(
  _ codes: Handle!, _ counts: UnsafeMutablePointer<Int64>!, _ codeCount: Int64
) -> vq_status {
  catching {
    var usage = try usage(counts, codeCount)
    try usage.update(try tensor(codes))
    usage.counts.withUnsafeBufferPointer {
      counts.update(from: $0.baseAddress!, count: usage.counts.count)
    }
  }
}

@_cdecl("vq_code_usage") @implementation
public func vq_code_usage(
  _ counts: UnsafePointer<Int64>!, _ codeCount: Int64, _ probabilities: DoublesOut!,
  _ perplexity: DoublesOut!
) -> vq_status {
  measure(perplexity) {
    let usage = try usage(counts, codeCount)
    for (code, share) in try usage.probabilities().enumerated() { probabilities?[code] = share }
    return try usage.perplexity()
  }
}

@_cdecl("vq_active_codes") @implementation
public func vq_active_codes(
  _ counts: UnsafePointer<Int64>!, _ codeCount: Int64, _ out: UnsafeMutablePointer<Int64>!
) -> vq_status {
  catching { try target(out).pointee = Int64(try usage(counts, codeCount).activeCodes) }
}

@_cdecl("vq_quantization_error") @implementation
public func vq_quantization_error(
  _ z: Handle!, _ zq: Handle!, _ mask: Handle!, _ out: DoublesOut!
) -> vq_status {
  measure(out) { try quantizationError(tensor(z), tensor(zq), mask: optionalTensor(mask)) }
}

@_cdecl("vq_divergence") @implementation
public func vq_divergence(_ p: Handle!, _ c: Handle!, _ out: DoublesOut!) -> vq_status {
  measure(out) { try divergence(tensor(p), tensor(c)) }
}

@_cdecl("vq_divergence_bound") @implementation
public func vq_divergence_bound(_ p: Handle!, _ out: DoublesOut!) -> vq_status {
  measure(out) { try divergenceBound(tensor(p)) }
}

@_cdecl("vq_gradient_gap") @implementation
public func vq_gradient_gap(
  _ exact: Handles!, _ quantized: Handles!, _ count: Int64, _ out: DoublesOut!
) -> vq_status {
  catching {
    let gaps = try gradientGap(exact: tensors(exact, count), quantized: tensors(quantized, count))
    let out = try target(out)
    for (index, gap) in gaps.enumerated() { out[index] = gap }
  }
}

@_cdecl("vq_activation_probability") @implementation
public func vq_activation_probability(
  _ codeCount: Int64, _ batchSize: Int64, _ height: Int64, _ width: Int64, _ poolLayers: Int64,
  _ atLeast: Int64, _ out: DoublesOut!
) -> vq_status {
  measure(out) {
    try activationProbability(
      codeCount: Int(codeCount), batchSize: Int(batchSize), height: Int(height),
      width: Int(width), poolLayers: Int(poolLayers), atLeast: Int(atLeast))
  }
}

@_cdecl("vq_mse") @implementation
public func vq_mse(_ a: Handle!, _ b: Handle!, _ out: DoublesOut!) -> vq_status {
  measure(out) { try mse(tensor(a), tensor(b)) }
}

@_cdecl("vq_psnr") @implementation
public func vq_psnr(
  _ a: Handle!, _ b: Handle!, _ dataRange: Double, _ out: DoublesOut!
) -> vq_status {
  measure(out) { try psnr(tensor(a), tensor(b), dataRange: dataRange) }
}

@_cdecl("vq_ssim") @implementation
public func vq_ssim(
  _ a: Handle!, _ b: Handle!, _ dataRange: Double, _ window: Int64, _ sigma: Double,
  _ out: DoublesOut!
) -> vq_status {
  measure(out) {
    try ssim(tensor(a), tensor(b), dataRange: dataRange, window: Int(window), sigma: sigma)
  }
}
