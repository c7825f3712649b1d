import CVQSwift
import VQEstimators
import VQModels
import VQNN
import VQQuantizers
import VQTensor

/// Every kind of module that is made by name.
private let moduleKinds: [ModuleKind] = [
  // Layers
  Linear.kind, Conv2d.kind, ConvTranspose2d.kind, BatchNorm.kind, LayerNorm.kind, Embedding.kind,
  ReLU.kind, GELU.kind, SiLU.kind, Tanh.kind, Sigmoid.kind, Identity.kind, Flatten.kind,
  Dropout.kind, MaxPool2d.kind, AveragePool2d.kind, UpsampleNearest2d.kind, Sequential.kind,
  Residual.kind,
  // Networks
  SQVAEOptions.encoder, SQVAEOptions.decoder, ResNet50.kind,
  // Quantizers
  VectorQuant.kind, GroupVectorQuant.kind, ResidualVectorQuant.kind, FSQ.kind, LFQ.kind,
  GumbelQuant.kind, GaussianQuant.kind,
  // Learned quantizers of weights and activations
  PACT.kind, LSQ.kind, LSQPlus.kind,
]

private let kindsByName = Dictionary(uniqueKeysWithValues: moduleKinds.map { ($0.name, $0) })

private func moduleKind(_ name: UnsafePointer<CChar>?) throws -> ModuleKind {
  let name = try string(name)
  guard let kind = kindsByName[name] else {
    throw VQError.value(
      "module", "kind", "'\(name)'", "it must be one of \(moduleKinds.map(\.name))")
  }
  return kind
}

private func given(
  _ options: UnsafePointer<vq_option>?, _ count: Int64, _ operation: String
) throws -> [(name: String, value: OptionValue)] {
  try list(options, count).map { option in
    let value: OptionValue
    switch option.type {
    case VQ_OPTION_INTEGER: value = .integer(Int(option.integer))
    case VQ_OPTION_WORD: value = .word(UInt64(bitPattern: option.integer))
    case VQ_OPTION_NUMBER: value = .number(option.number)
    case VQ_OPTION_BOOLEAN: value = .boolean(option.integer != 0)
    case VQ_OPTION_TEXT: value = .text(try string(option.text))
    case VQ_OPTION_INTEGERS: value = .integers(try sizes(option.integers, option.count))
    default:
      throw VQError.value(
        operation, "type", "\(option.type.rawValue)", "it must be a vq_option_type")
    }
    return (try string(option.name), value)
  }
}

@_cdecl("vq_module_create") @implementation
public func vq_module_create(
  _ kind: UnsafePointer<CChar>!, _ options: UnsafePointer<vq_option>!, _ count: Int64,
  _ children: UnsafePointer<OpaquePointer?>!, _ childCount: Int64, _ source: OpaquePointer!,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produceModule(out) {
    let kind = try moduleKind(kind)
    return try kind.make(
      given(options, count, kind.name),
      children: list(children, childCount).map { try box($0).module },
      generator: source == nil ? nil : generator(source))
  }
}

// MARK: - Descriptions, kept for good

private let kindNames = allocated(moduleKinds.map { Optional(permanent($0.name)) })

@_cdecl("vq_module_kinds") @implementation
public func vq_module_kinds(
  _ out: UnsafeMutablePointer<UnsafePointer<UnsafePointer<CChar>?>?>!,
  _ count: UnsafeMutablePointer<Int64>!
) -> vq_status {
  catching {
    let (out, count) = (try target(out), try target(count))
    out.pointee = kindNames
    count.pointee = Int64(moduleKinds.count)
  }
}

private let descriptions = kindsByName.mapValues { kind in
  allocated(
    kind.options.map { option in
      vq_option_description(
        name: permanent(option.name), type: vq_option_type(UInt32(option.form.rawValue)),
        required: option.isRequired, initial: permanent(option.start.map { "\($0)" } ?? ""),
        choices: permanent(option.choices.joined(separator: " ")), rule: permanent(option.rule))
    })
}

@_cdecl("vq_module_options") @implementation
public func vq_module_options(
  _ kind: UnsafePointer<CChar>!,
  _ out: UnsafeMutablePointer<UnsafePointer<vq_option_description>?>!,
  _ count: UnsafeMutablePointer<Int64>!
) -> vq_status {
  catching {
    let kind = try moduleKind(kind)
    let (out, count) = (try target(out), try target(count))
    out.pointee = descriptions[kind.name]!
    count.pointee = Int64(kind.options.count)
  }
}

private func permanent(_ text: String) -> UnsafePointer<CChar> {
  allocated(Array(text.utf8CString))
}

private func allocated<Item>(_ items: [Item]) -> UnsafePointer<Item> {
  let copy = UnsafeMutablePointer<Item>.allocate(capacity: max(items.count, 1))
  copy.initialize(from: items, count: items.count)
  return UnsafePointer(copy)
}
