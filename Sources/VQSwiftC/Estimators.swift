import CVQSwift
import VQEstimators
import VQNN
import VQTensor

/// An estimator on a grid and the text that it gave out.
private final class EstimatorBox {
  let estimator: GridEstimator
  let texts = NameTable()
  /// Read by several threads: made once.
  let obstacle: Text?
  let partner: Text

  init(_ estimator: GridEstimator) {
    self.estimator = estimator
    obstacle = estimator.obstacle.map(texts.pointer)
    partner = texts.pointer(estimator.estimator.straightThroughPartner.name)
  }
}

private func estimator(_ handle: Handle?) throws -> GridEstimator {
  try object(handle, EstimatorBox.self).estimator
}

@_cdecl("vq_estimator_create") @implementation
public func vq_estimator_create(
  _ kind: Text!, _ options: Options!, _ count: Int64, _ bits: Int64, _ bound: Double, _ out: Out!
) -> vq_status {
  produce(out) { EstimatorBox(try estimator(kind, options, count, bits, bound)) }
}

private func estimator(
  _ kind: Text!, _ options: Options!, _ count: Int64, _ bits: Int64, _ bound: Double
) throws -> GridEstimator {
  let name = try string(kind)
  return try GridEstimator(
    WeightEstimator(named: name, given(options, count, name)),
    on: UniformGrid(bits: Int(bits), bound: bound))
}

@_cdecl("vq_estimator_release") @implementation
public func vq_estimator_release(_ handle: Handle!) { release(handle, as: EstimatorBox.self) }

@_cdecl("vq_estimator_evaluate") @implementation
public func vq_estimator_evaluate(
  _ handle: Handle!, _ what: Int32, _ w: Doubles!, _ out: DoublesOut!, _ count: Int64
) -> vq_status {
  catching {
    let e = try estimator(handle)
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

@_cdecl("vq_estimator_has_warp") @implementation
public func vq_estimator_has_warp(_ handle: Handle!) -> Bool {
  (try? estimator(handle))?.hasWarp ?? false
}

@_cdecl("vq_estimator_alpha") @implementation
public func vq_estimator_alpha(_ handle: Handle!, _ out: DoublesOut!) -> vq_status {
  catching { try target(out).pointee = try estimator(handle).alpha }
}

@_cdecl("vq_estimator_obstacle") @implementation
public func vq_estimator_obstacle(_ handle: Handle!) -> Text! {
  (try? object(handle, EstimatorBox.self))?.obstacle
}

@_cdecl("vq_estimator_partner") @implementation
public func vq_estimator_partner(_ handle: Handle!) -> Text! {
  (try? object(handle, EstimatorBox.self))?.partner
}

@_cdecl("vq_weight_quantizer_create") @implementation
public func vq_weight_quantizer_create(
  _ kind: Text!, _ options: Options!, _ count: Int64, _ bits: Int64, _ bound: Double,
  _ gradientScale: Double, _ range: Text!, _ perSlice: Bool, _ weight: Handle!, _ layer: Handle!,
  _ out: Out!
) -> vq_status {
  produceModule(out) {
    let estimator = try estimator(kind, options, count, bits, bound)
    let quantizer =
      if let range {
        try WeightQuantizer(
          estimator, gradientScale: gradientScale, range: WeightRange(named: string(range)),
          of: tensor(weight), isPerSlice: perSlice)
      } else {
        try WeightQuantizer(estimator, gradientScale: gradientScale)
      }
    if layer != nil { try give(layer, quantizer) }
    return quantizer
  }
}

@_cdecl("vq_weight_quantizer_fit") @implementation
public func vq_weight_quantizer_fit(_ handle: Handle!, _ w: Handle!) -> vq_status {
  catching {
    let w = try tensor(w)
    try enter(handle, "fit", as: WeightQuantizer.self) { try $0.fit(w) }
  }
}

@_cdecl("vq_weight_quantizer_clipped_share") @implementation
public func vq_weight_quantizer_clipped_share(
  _ handle: Handle!, _ w: Handle!, _ out: DoublesOut!
) -> vq_status {
  catching {
    let w = try tensor(w)
    try target(out).pointee = try enter(handle, "clipped_share", as: WeightQuantizer.self) {
      try $0.clippedShare(of: w)
    }
  }
}

@_cdecl("vq_weight_quantizer_codes") @implementation
public func vq_weight_quantizer_codes(_ handle: Handle!, _ w: Handle!, _ out: Out!) -> vq_status {
  produce(out) {
    guard let quantizer = try box(handle).content as? WeightQuantizer else {
      throw VQError.misuse("weight_codes", "the module is no weight quantizer")
    }
    return try quantizer.codes(tensor(w))
  }
}

@_cdecl("vq_module_weighted_layers") @implementation
public func vq_module_weighted_layers(_ handle: Handle!, _ out: Out!) -> vq_status {
  produce(out) {
    NamedList(try box(handle).content.weightedLayers.map { ($0.name, module: $0.layer) })
  }
}

@_cdecl("vq_module_set_weight_quantizer") @implementation
public func vq_module_set_weight_quantizer(_ handle: Handle!, _ quantizer: Handle!) -> vq_status {
  catching { try give(handle, quantizer == nil ? nil : box(quantizer).content) }
}

private func give(_ handle: Handle!, _ quantizer: Module?) throws {
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
