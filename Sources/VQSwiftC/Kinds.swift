import CVQSwift
import VQEstimators
import VQModels
import VQNN
import VQQuantizers
import VQTensor

/// Every kind of module that is made by name.
private let moduleKinds: [ModuleKind] =
  [
    // Layers
    Linear.kind, Conv1d.kind, Conv2d.kind, ConvTranspose1d.kind, ConvTranspose2d.kind,
    BatchNorm.kind, LayerNorm.kind, RMSNorm.kind, GroupNorm.kind, Embedding.kind,
    ReLU.kind, GELU.kind, SiLU.kind, Tanh.kind, Sigmoid.kind, Identity.kind, Flatten.kind,
    Dropout.kind, MaxPool2d.kind, AveragePool2d.kind, Upsample.kind, Sequential.kind, Residual.kind,
    // Networks
    SQVAEEncoderOptions.kind, SQVAEOptions.decoder, ResNet50.kind,
    ResNet18Front.kind, ResNet18Back.kind,
    // Quantizers
    VectorQuant.kind, GroupVectorQuant.kind, ResidualVectorQuant.kind, FSQ.kind, LFQ.kind,
    GumbelQuant.kind, SQVAEQuant.kind,
    // Learned quantizers of weights and activations
    PACT.kind, LSQ.kind, LSQPlus.kind,
  ] + Activation.kinds
private let optimizerKinds = [
  SGD.kind, Adam.kind, AdamW.decoupledKind, RMSprop.kind, Adagrad.kind, Lion.kind, Adafactor.kind,
  Muon.kind,
]

private let families = [
  Family("module", moduleKinds.map { ($0.name, $0.options) }),
  Family("optimizer", optimizerKinds.map { ($0.name, $0.options) }),
  Family("schedule", Schedule.kinds.map { ($0.name, $0.options) }),
  Family("estimator", WeightEstimator.kinds),
]

private func find<Item>(
  _ name: Text?, in items: [Item], _ operation: String, _ what: String, _ nameOf: (Item) -> String
) throws -> Item {
  let given = try string(name)
  guard let item = items.first(where: { nameOf($0) == given }) else {
    throw VQError.value(
      operation, what, "'\(given)'", "it must be one of \(items.map(nameOf))")
  }
  return item
}

func optimizerKind(_ name: Text?) throws -> OptimizerKind {
  try find(name, in: optimizerKinds, "optimizer", "kind", \.name)
}

func scheduleKind(_ name: Text?) throws -> ScheduleKind {
  try find(name, in: Schedule.kinds, "schedule", "kind", \.name)
}

private func family(_ name: Text?) throws -> Family {
  try find(name, in: families, "kinds", "family", \.name)
}

@_cdecl("vq_module_create") @implementation
public func vq_module_create(
  _ kind: Text!, _ options: Options!, _ count: Int64, _ children: Handles!, _ childCount: Int64,
  _ source: Handle!, _ out: Out!
) -> vq_status {
  produceModule(out) {
    let kind = try find(kind, in: moduleKinds, "module", "kind", \.name)
    return try kind.make(
      given(options, count, kind.name),
      children: list(children, childCount).map { try box($0).content },
      generator: source == nil ? nil : generator(source))
  }
}

/// The options that a caller gives.
func given(_ options: Options?, _ count: Int64, _ operation: String) throws -> GivenOptions {
  try list(options, count).map { option in
    let value: OptionValue
    switch option.type {
    case VQ_OPTION_INTEGER: value = .integer(Int(option.integer))
    case VQ_OPTION_WORD: value = .word(UInt64(bitPattern: option.integer))
    case VQ_OPTION_NUMBER: value = .number(option.number)
    case VQ_OPTION_BOOLEAN: value = .boolean(option.integer != 0)
    case VQ_OPTION_TEXT: value = .text(try string(option.text))
    case VQ_OPTION_INTEGERS: value = .integers(try sizes(option.integers, option.count))
    case VQ_OPTION_NUMBERS: value = .numbers(try Array(numbers(option.numbers, option.count)))
    default:
      throw VQError.value(
        operation, "type", "\(option.type.rawValue)", "it must be a vq_option_type")
    }
    return (try string(option.name), value)
  }
}

// MARK: - Descriptions, kept for good

/// Kinds by name, with their descriptions as the header has them.
private struct Family {
  typealias Described = (name: String, rows: UnsafeBufferPointer<vq_option_description>)
  let name: String
  let summary: [(name: String, text: String)]
  let descriptions: [Described]

  init(_ name: String, _ kinds: [(name: String, options: [OptionDescription])]) {
    self.name = name
    summary = kinds.map { ($0.name, $0.options.map(\.name).joined(separator: " ")) }
    descriptions = kinds.map { kind in
      let rows = kind.options.map { option in
        vq_option_description(
          name: permanent(option.name), type: vq_option_type(UInt32(option.form.rawValue)),
          required: option.isRequired, initial: permanent(option.start.map { "\($0)" } ?? ""),
          choices: permanent(option.choices.joined(separator: " ")), rule: permanent(option.rule))
      }
      return (kind.name, UnsafeBufferPointer(start: allocated(rows), count: rows.count))
    }
  }
}

@_cdecl("vq_kinds") @implementation
public func vq_kinds(_ name: Text!, _ out: Out!) -> vq_status {
  produce(out) { NamedList(try family(name).summary) }
}

@_cdecl("vq_kind_options") @implementation
public func vq_kind_options(
  _ name: Text!, _ kind: Text!, _ out: UnsafeMutablePointer<UnsafePointer<vq_option_description>?>!,
  _ count: UnsafeMutablePointer<Int64>!
) -> vq_status {
  catching {
    let (out, count) = (try target(out), try target(count))
    let family = try family(name)
    let rows = try find(kind, in: family.descriptions, family.name, "kind", \.name).rows
    out.pointee = rows.baseAddress
    count.pointee = Int64(rows.count)
  }
}

private func permanent(_ text: String) -> Text { allocated(Array(text.utf8CString)) }

private func allocated<Item>(_ items: [Item]) -> UnsafePointer<Item> {
  let copy = UnsafeMutablePointer<Item>.allocate(capacity: max(items.count, 1))
  copy.initialize(from: items, count: items.count)
  return UnsafePointer(copy)
}
