import CVQSwift
import VQEstimators
import VQNN
import VQTensor

private func estimator(_ options: UnsafePointer<vq_estimator_options>?) throws -> GridEstimator {
  let options = try value(options)
  try requireSize(options.struct_size, MemoryLayout<vq_estimator_options>.size, "estimator")
  let parameter = options.parameter
  func samples() throws -> [Double] { try Array(list(options.samples, options.sample_count)) }
  let kind: WeightEstimator =
    switch Int(options.kind) {
    case Int(VQ_ESTIMATOR_STE): .straightThrough
    case Int(VQ_ESTIMATOR_CLIPPED_STE): .clipped
    case Int(VQ_ESTIMATOR_DSQ): .dsq(sharpness: parameter)
    case Int(VQ_ESTIMATOR_COSINE): .cosine(amplitude: parameter)
    case Int(VQ_ESTIMATOR_TANH): .tanh(sharpness: parameter)
    case Int(VQ_ESTIMATOR_SIGMOID): .sigmoid
    case Int(VQ_ESTIMATOR_ARCTAN): .arctan
    case Int(VQ_ESTIMATOR_APPROX_SIGN): .approxSign
    case Int(VQ_ESTIMATOR_RESTE): .reste(power: parameter, cap: options.cap)
    case Int(VQ_ESTIMATOR_MAD): .mad
    case Int(VQ_ESTIMATOR_EWGS): .ewgs(strength: parameter)
    case Int(VQ_ESTIMATOR_EDE): .errorDecay(progress: parameter)
    case Int(VQ_ESTIMATOR_CELL_SAMPLES): .sampled(try samples(), cyclical: true)
    case Int(VQ_ESTIMATOR_GRID_SAMPLES): .sampled(try samples(), cyclical: false)
    default:
      throw VQError.value("estimator", "kind", "\(options.kind)", "it must be a VQ_ESTIMATOR_*")
    }
  return try GridEstimator(kind, on: UniformGrid(bits: Int(options.bits), bound: options.bound))
}

@_cdecl("vq_estimator_evaluate") @implementation
public func vq_estimator_evaluate(
  _ options: UnsafePointer<vq_estimator_options>!, _ what: Int32, _ w: UnsafePointer<Double>!,
  _ count: Int64, _ out: UnsafeMutablePointer<Double>!
) -> vq_status {
  catching {
    let e = try estimator(options)
    let function: (Double) throws -> Double
    switch Int(what) {
    case Int(VQ_ESTIMATE_QUANTIZED): function = e.grid.quantized
    case Int(VQ_ESTIMATE_H): function = e.derivative
    case Int(VQ_ESTIMATE_WARP): function = e.warp
    case Int(VQ_ESTIMATE_UNWARP): function = e.inverseWarp
    default: throw VQError.value("estimator", "what", "\(what)", "it must be a VQ_ESTIMATE_*")
    }
    let w = try numbers(w, count)
    guard let out = w.isEmpty ? nil : try target(out) else { return }
    for (index, number) in w.enumerated() { out[index] = try function(number) }
  }
}

@_cdecl("vq_estimator_alpha") @implementation
public func vq_estimator_alpha(
  _ options: UnsafePointer<vq_estimator_options>!, _ out: UnsafeMutablePointer<Double>!
) -> vq_status {
  catching { try target(out).pointee = try estimator(options).alpha }
}

@_cdecl("vq_estimator_obstacle") @implementation
public func vq_estimator_obstacle(
  _ options: UnsafePointer<vq_estimator_options>!, _ text: UnsafeMutablePointer<CChar>!,
  _ capacity: Int64
) -> vq_status {
  catching {
    let obstacle = try estimator(options).obstacle ?? ""
    guard capacity >= 1 else { throw VQError.misuse("handle", "the text has no room") }
    let text = try target(text)
    for (index, byte) in (obstacle.utf8CString.prefix(Int(capacity) - 1) + [0]).enumerated() {
      text[index] = byte
    }
  }
}

@_cdecl("vq_estimator_partner") @implementation
public func vq_estimator_partner(
  _ options: UnsafePointer<vq_estimator_options>!, _ out: UnsafeMutablePointer<Int32>!
) -> vq_status {
  catching {
    let isClipped = try estimator(options).estimator.straightThroughPartner == .clipped
    try target(out).pointee = Int32(isClipped ? VQ_ESTIMATOR_CLIPPED_STE : VQ_ESTIMATOR_STE)
  }
}

@_cdecl("vq_weight_quantizer_create") @implementation
public func vq_weight_quantizer_create(
  _ options: UnsafePointer<vq_estimator_options>!, _ gradientScale: Double,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) { try WeightQuantizer(estimator(options), gradientScale: gradientScale) }
}

@_cdecl("vq_weight_quantizer_create_ranged") @implementation
public func vq_weight_quantizer_create_ranged(
  _ options: UnsafePointer<vq_estimator_options>!, _ gradientScale: Double, _ range: Int32,
  _ perSlice: Bool, _ scalesParameters: Bool, _ weight: OpaquePointer!,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) {
    guard let range = WeightRange(rawValue: range) else {
      throw VQError.value("weight_quantizer", "range", "\(range)", "it must be a VQ_RANGE_*")
    }
    return try WeightQuantizer(
      estimator(options), gradientScale: gradientScale, range: range, of: tensor(weight),
      isPerSlice: perSlice, scalesParameters: scalesParameters)
  }
}

@_cdecl("vq_weight_quantizer_fit") @implementation
public func vq_weight_quantizer_fit(_ handle: OpaquePointer!, _ w: OpaquePointer!) -> vq_status {
  catching {
    let w = try tensor(w)
    try enter(handle, "fit", as: WeightQuantizer.self) { try $0.fit(w) }
  }
}

@_cdecl("vq_weight_quantizer_clipped_share") @implementation
public func vq_weight_quantizer_clipped_share(
  _ handle: OpaquePointer!, _ w: OpaquePointer!, _ out: UnsafeMutablePointer<Double>!
) -> vq_status {
  catching {
    let w = try tensor(w)
    try target(out).pointee = try enter(handle, "clipped_share", as: WeightQuantizer.self) {
      try $0.clippedShare(of: w)
    }
  }
}

@_cdecl("vq_weight_quantizer_codes") @implementation
public func vq_weight_quantizer_codes(
  _ handle: OpaquePointer!, _ w: OpaquePointer!, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) {
    guard let quantizer = try box(handle).module as? WeightQuantizer else {
      throw VQError.misuse("weight_codes", "the module is no weight quantizer")
    }
    return try quantizer.codes(tensor(w))
  }
}

@_cdecl("vq_module_weighted_layer_count") @implementation
public func vq_module_weighted_layer_count(_ handle: OpaquePointer!) -> Int64 {
  Int64((try? box(handle))?.module.weightedLayers.count ?? 0)
}

@_cdecl("vq_module_weighted_layer") @implementation
public func vq_module_weighted_layer(
  _ handle: OpaquePointer!, _ index: Int64, _ name: UnsafeMutablePointer<UnsafePointer<CChar>?>!,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) {
    let box = try box(handle)
    let layers = box.module.weightedLayers
    guard index >= 0, index < layers.count else {
      throw VQError.index("module", value: Int(index), bound: layers.count)
    }
    name?.pointee = box.names.pointer(layers[Int(index)].name)
    return layers[Int(index)].layer
  }
}

@_cdecl("vq_module_set_weight_quantizer") @implementation
public func vq_module_set_weight_quantizer(
  _ handle: OpaquePointer!, _ quantizer: OpaquePointer!
) -> vq_status {
  catching {
    let quantizer = quantizer == nil ? nil : try box(quantizer).module
    try box(handle).enter("set_weight_quantizer") { module in
      guard let layer = module as? WeightedLayer else {
        throw VQError.misuse(
          "set_weight_quantizer", "a \(type(of: module)) is no linear or convolution layer")
      }
      guard quantizer.map({ !$0.contains(layer) }) ?? true else {
        throw VQError.misuse("set_weight_quantizer", "the quantizer contains the layer itself")
      }
      layer.weightQuantizer = quantizer
      (quantizer as? WeightQuantizer)?.follow(layer.weight)
    }
  }
}
