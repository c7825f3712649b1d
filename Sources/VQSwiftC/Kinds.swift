import CVQSwift
import VQEstimators
import VQModels
import VQNN
import VQQuantizers
import VQTensor

/// Every kind of module that is made by name.
private let modules = Family<ModuleKind>(
  "module",
  [
    // Layers
    Linear.kind, Conv2d.kind, ConvTranspose2d.kind, BatchNorm.kind, LayerNorm.kind,
    Embedding.kind, ReLU.kind, GELU.kind, SiLU.kind, Tanh.kind, Sigmoid.kind, Identity.kind,
    Flatten.kind, Dropout.kind, MaxPool2d.kind, AveragePool2d.kind, UpsampleNearest2d.kind,
    Sequential.kind, Residual.kind,
    // Networks
    SQVAEOptions.encoder, SQVAEOptions.decoder, ResNet50.kind,
    // Quantizers
    VectorQuant.kind, GroupVectorQuant.kind, ResidualVectorQuant.kind, FSQ.kind, LFQ.kind,
    GumbelQuant.kind, SQVAEQuant.kind,
    // Learned quantizers of weights and activations
    PACT.kind, LSQ.kind, LSQPlus.kind,
  ].map { ($0.name, $0.options, $0) })

private let optimizers = Family<OptimizerKind>(
  "optimizer",
  [SGD.kind, Adam.kind, AdamW.decoupledKind].map { ($0.name, $0.options, $0) })

private let schedules = Family<ScheduleKind>(
  "schedule", Schedule.kinds.map { ($0.name, $0.options, $0) })

private let estimators = Family<Void>(
  "estimator", WeightEstimator.kinds.map { ($0.name, $0.options, ()) })

private func family(_ name: Text?) throws -> any DescribedFamily {
  switch try string(name) {
  case modules.name: return modules
  case optimizers.name: return optimizers
  case schedules.name: return schedules
  case estimators.name: return estimators
  case let other:
    throw VQError.value(
      "kinds", "family", "'\(other)'",
      "it must be 'module', 'optimizer', 'schedule' or 'estimator'")
  }
}

func optimizerKind(_ name: Text?) throws -> OptimizerKind { try optimizers.kind(name) }
func scheduleKind(_ name: Text?) throws -> ScheduleKind { try schedules.kind(name) }

@_cdecl("vq_module_create") @implementation
public func vq_module_create(
  _ kind: Text!, _ options: Options!, _ count: Int64, _ children: Handles!, _ childCount: Int64,
  _ source: Handle!, _ out: Out!
) -> vq_status {
  produceModule(out) {
    let kind = try modules.kind(kind)
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

private protocol DescribedFamily {
  var summary: [(name: String, text: String)] { get }
  func description(_ name: Text?) throws -> UnsafeBufferPointer<vq_option_description>
}

/// Kinds by name, and their descriptions as the header has them.
private struct Family<Value>: DescribedFamily {
  let name: String
  let summary: [(name: String, text: String)]
  private let values: [String: Value]
  private let descriptions: [String: UnsafeBufferPointer<vq_option_description>]

  init(_ name: String, _ kinds: [(name: String, options: [OptionDescription], value: Value)]) {
    self.name = name
    summary = kinds.map { ($0.name, $0.options.map(\.name).joined(separator: " ")) }
    values = Dictionary(uniqueKeysWithValues: kinds.map { ($0.name, $0.value) })
    descriptions = Dictionary(
      uniqueKeysWithValues: kinds.map { kind in
        let rows = kind.options.map { option in
          vq_option_description(
            name: permanent(option.name), type: vq_option_type(UInt32(option.form.rawValue)),
            required: option.isRequired, initial: permanent(option.start.map { "\($0)" } ?? ""),
            choices: permanent(option.choices.joined(separator: " ")), rule: permanent(option.rule))
        }
        return (kind.name, UnsafeBufferPointer(start: allocated(rows), count: rows.count))
      })
  }

  private func found<Item>(_ name: Text?, in items: [String: Item]) throws -> Item {
    let given = try string(name)
    guard let item = items[given] else {
      throw VQError.value(
        self.name, "kind", "'\(given)'", "it must be one of \(summary.map(\.name))")
    }
    return item
  }

  func kind(_ name: Text?) throws -> Value { try found(name, in: values) }

  func description(_ name: Text?) throws -> UnsafeBufferPointer<vq_option_description> {
    try found(name, in: descriptions)
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
    let description = try family(name).description(kind)
    out.pointee = description.baseAddress
    count.pointee = Int64(description.count)
  }
}

private func permanent(_ text: String) -> Text { allocated(Array(text.utf8CString)) }

private func allocated<Item>(_ items: [Item]) -> UnsafePointer<Item> {
  let copy = UnsafeMutablePointer<Item>.allocate(capacity: max(items.count, 1))
  copy.initialize(from: items, count: items.count)
  return UnsafePointer(copy)
}
