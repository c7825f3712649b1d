import CVQSwift
import VQNN
import VQQuantizers
import VQTensor

/// Runs `body` on the layer of codebook `index` of a quantizer.
private func enter<Result>(
  _ handle: Handle?, _ index: Int64, _ operation: String, _ body: (VectorQuant) throws -> Result
) throws -> Result {
  try enter(handle, operation, as: CodebookQuantizer.self) { quantizer in
    let layers = quantizer.holders.compactMap { $0 as? VectorQuant }
    guard index >= 0, index < layers.count else {
      throw VQError.index(operation, value: Int(index), bound: layers.count)
    }
    return try body(layers[Int(index)])
  }
}

private func enter<Result>(
  _ handle: Handle?, _ index: Int64, part: Int64, _ operation: String,
  _ body: (VectorQuant, Int) throws -> Result
) throws -> Result {
  try enter(handle, index, operation) { layer in
    guard part >= 0, part < layer.waitingCount else {
      throw VQError.index(operation, value: Int(part), bound: layer.waitingCount)
    }
    return try body(layer, Int(part))
  }
}

private func layers(_ handle: Handle?) -> [VectorQuant] {
  let quantizer = (try? box(handle))?.content as? CodebookQuantizer
  return quantizer?.holders.compactMap { $0 as? VectorQuant } ?? []
}

/// Throws unless a caller's arrays are of the sizes of the codebook.
private func requireSizes(
  _ k: Int64, _ d: Int64, _ layer: VectorQuant, _ operation: String
) throws {
  let shape = layer.codebook.shape
  guard [Int(k), Int(d)] == shape else {
    throw VQError.shape(operation, [[Int(k), Int(d)], shape], "the codebook's shape is required")
  }
}

@_cdecl("vq_quantizer_defer") @implementation
public func vq_quantizer_defer(_ handle: Handle!, _ block: Int64) -> vq_status {
  catching {
    try enter(handle, "quantizer.defer", as: Quantizer.self) { quantizer in
      guard block >= -1, block < 1 << 40 else {
        throw VQError.value("quantizer.defer", "block", "\(block)", "must be -1 or a number from 0")
      }
      quantizer.deferredBlock = block < 0 ? nil : Int(block)
    }
  }
}

@_cdecl("vq_quantizer_check_deferred") @implementation
public func vq_quantizer_check_deferred(_ handle: Handle!) -> vq_status {
  catching {
    try enter(handle, "quantizer.defer", as: Quantizer.self) { try $0.requireDeferrable() }
  }
}

@_cdecl("vq_quantizer_due_fit") @implementation
public func vq_quantizer_due_fit(_ handle: Handle!) -> Int64 {
  layers(handle).compactMap(\.dueUpdates).first.map { Int64($0) } ?? -1
}

@_cdecl("vq_quantizer_waiting_count") @implementation
public func vq_quantizer_waiting_count(_ handle: Handle!, _ index: Int64) -> Int64 {
  let layers = layers(handle)
  return index >= 0 && index < layers.count ? Int64(layers[Int(index)].waitingCount) : 0
}

@_cdecl("vq_quantizer_waiting") @implementation
public func vq_quantizer_waiting(
  _ handle: Handle!, _ index: Int64, _ part: Int64, _ vectors: Out!, _ codes: Out!,
  _ stage: UnsafeMutablePointer<Int64>!
) -> vq_status {
  vectors?.pointee = nil
  codes?.pointee = nil
  return catching {
    let (vectors, codes, stage) = (try target(vectors), try target(codes), try target(stage))
    let found = try enter(handle, index, part: part, "quantizer.waiting") {
      $0.waitingVectors($1)
    }
    vectors.pointee = VQSwiftC.handle(found.vectors)
    codes.pointee = VQSwiftC.handle(found.codes)
    stage.pointee = Int64(found.stage)
  }
}

@_cdecl("vq_quantizer_waiting_statistics") @implementation
public func vq_quantizer_waiting_statistics(
  _ handle: Handle!, _ index: Int64, _ part: Int64, _ counts: UnsafeMutablePointer<Int64>!,
  _ k: Int64, _ sums: DoublesOut!, _ d: Int64, _ mean: DoublesOut!, _ variance: DoublesOut!
) -> vq_status {
  catching {
    let operation = "quantizer.waiting_statistics"
    let (counts, sums) = (try target(counts), try target(sums))
    let (mean, variance) = (try target(mean), try target(variance))
    let found = try enter(handle, index, part: part, operation) { layer, part in
      try requireSizes(k, d, layer, operation)
      return layer.waitingStatistics(part)
    }
    counts.update(from: found.counts, count: found.counts.count)
    sums.update(from: found.sums, count: found.sums.count)
    mean.update(from: found.mean, count: found.mean.count)
    variance.update(from: found.variance, count: found.variance.count)
  }
}

@_cdecl("vq_quantizer_apply_statistics") @implementation
public func vq_quantizer_apply_statistics(
  _ handle: Handle!, _ index: Int64, _ counts: UnsafePointer<Int64>!, _ k: Int64, _ sums: Doubles!,
  _ d: Int64, _ mean: Doubles!, _ variance: Doubles!, _ dead: UnsafeMutablePointer<Int32>!
) -> vq_status {
  catching {
    let operation = "quantizer.apply_statistics"
    let out = try target(dead)
    try enter(handle, index, operation) { layer in
      try requireSizes(k, d, layer, operation)
      let statistics = CodeStatistics(
        counts: Array(try numbers(counts, k)), sums: Array(try numbers(sums, k * d)),
        mean: Array(try numbers(mean, d)), variance: Array(try numbers(variance, d)))
      let dead = Set(try layer.apply(statistics))
      for code in 0..<Int(k) { out[code] = dead.contains(code) ? 1 : 0 }
    }
  }
}

@_cdecl("vq_quantizer_draw_rows") @implementation
public func vq_quantizer_draw_rows(
  _ handle: Handle!, _ index: Int64, _ n: Int64, _ rows: UnsafeMutablePointer<Int32>!,
  _ count: Int64
) -> vq_status {
  catching {
    let rows = try target(rows)
    let drawn = try enter(handle, index, "quantizer.draw_rows") {
      try $0.drawRows(Int(count), below: Int(n))
    }
    rows.update(from: drawn, count: drawn.count)
  }
}

@_cdecl("vq_quantizer_replace") @implementation
public func vq_quantizer_replace(
  _ handle: Handle!, _ index: Int64, _ codes: UnsafePointer<Int32>!, _ count: Int64,
  _ vectors: Handle!
) -> vq_status {
  catching {
    let (vectors, codes) = (try tensor(vectors), try list(codes, count).map { Int($0) })
    try enter(handle, index, "quantizer.replace") { try $0.replace(codes, by: vectors) }
  }
}

@_cdecl("vq_quantizer_end_update") @implementation
public func vq_quantizer_end_update(_ handle: Handle!) -> vq_status {
  catching {
    try enter(handle, "quantizer.end_update", as: CodebookQuantizer.self) { $0.endUpdate() }
  }
}
