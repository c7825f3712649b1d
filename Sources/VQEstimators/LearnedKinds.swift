import VQNN
import VQTensor

/// The options of a `PACT` by name.
public struct PACTOptions {
  public var bits = 0
  public var clip: Float = 6

  public static let table = OptionTable(PACTOptions()) {
    Option("bits", \.bits, isRequired: true)
    Option("clip", \.clip)
  }
}

extension PACT {
  public static let kind = ModuleKind("pact", PACTOptions.table) { options, _ in
    try PACT(bits: options.bits, clip: options.clip)
  }
}

/// The options of an `LSQ` by name.
public struct LSQOptions {
  public var bits = 0
  public var values = LSQ.Values.weights
  /// nil: weights are, activations are not.
  public var isSigned: Bool?

  public static let table = OptionTable(LSQOptions()) {
    Option("bits", \.bits, isRequired: true)
    Option("values", \.values)
    Option("signed", \.isSigned)
  }
}

/// The options of an `LSQPlus` by name.
public struct LSQPlusOptions {
  public var bits = 0
  public var isSigned = false

  public static let table = OptionTable(LSQPlusOptions()) {
    Option("bits", \.bits, isRequired: true)
    Option("signed", \.isSigned)
  }
}

extension LSQ.Values: OptionChoice {
  public static var allCases: [LSQ.Values] { [.weights, .activations] }
  public var optionName: String { self == .weights ? "weights" : "activations" }
}

extension LSQ {
  public static let kind = ModuleKind("lsq", LSQOptions.table) { options, _ in
    try LSQ(bits: options.bits, values: options.values, isSigned: options.isSigned)
  }
}

extension LSQPlus {
  public static let kind = ModuleKind("lsq_plus", LSQPlusOptions.table) { options, _ in
    try LSQPlus(bits: options.bits, isSigned: options.isSigned)
  }
}
