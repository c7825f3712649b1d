/// What is given for an option by name.
public enum OptionValue: Equatable, Sendable {
  case integer(Int)
  /// Above what an Int holds.
  case word(UInt64)
  case number(Double)
  case boolean(Bool)
  case text(String)
  case integers([Int])
  case numbers([Double])
}

extension OptionValue: CustomStringConvertible {
  public var description: String {
    switch self {
    case .integer(let value): "\(value)"
    case .word(let value): "\(value)"
    case .number(let value): "\(value)"
    case .boolean(let value): "\(value)"
    case .text(let value): "'\(value)'"
    case .integers(let value): "\(value)"
    case .numbers(let value): "\(value)"
    }
  }
}

/// What an option takes.
public enum OptionForm: Int32, Sendable {
  case integer, word, number, boolean, text, integers, numbers, pair

  var noun: String {
    switch self {
    case .integer, .word: "an integer"
    case .number: "a number"
    case .boolean: "True or False"
    case .text: "a string"
    case .integers: "a sequence of integers"
    case .numbers: "a sequence of numbers"
    case .pair: "a pair (height, width)"
    }
  }
}

/// A type that options have.
public protocol OptionType {
  static var form: OptionForm { get }
  /// The texts that are taken, where it is one of a few.
  static var choices: [String] { get }
  /// nil where the value is none of the type.
  init?(_ value: OptionValue)
  /// nil where there is none.
  var optionValue: OptionValue? { get }
  /// The value as errors show it.
  var optionText: String { get }
}

extension OptionType {
  public static var choices: [String] { [] }
  public var optionText: String { optionValue.map { "\($0)" } ?? "none" }
}

extension Int: OptionType {
  public static var form: OptionForm { .integer }
  public init?(_ value: OptionValue) {
    switch value {
    case .integer(let value): self = value
    case .boolean(let value): self = value ? 1 : 0
    default: return nil
    }
  }
  public var optionValue: OptionValue? { .integer(self) }
}

extension UInt64: OptionType {
  public static var form: OptionForm { .word }
  public init?(_ value: OptionValue) {
    switch value {
    case .integer(let value) where value >= 0: self = UInt64(value)
    case .word(let value): self = value
    default: return nil
    }
  }
  public var optionValue: OptionValue? {
    self <= UInt64(Int.max) ? .integer(Int(self)) : .word(self)
  }
}

extension Float: OptionType {
  public static var form: OptionForm { .number }
  public init?(_ value: OptionValue) {
    switch value {
    case .number(let value): self = Float(value)
    case .integer(let value): self = Float(value)
    case .boolean(let value): self = value ? 1 : 0
    default: return nil
    }
  }
  /// The shortest decimal that gives this value.
  public var optionValue: OptionValue? { .number(Double("\(self)") ?? Double(self)) }
}

extension Double: OptionType {
  public static var form: OptionForm { .number }
  public init?(_ value: OptionValue) {
    switch value {
    case .number(let value): self = value
    case .integer(let value): self = Double(value)
    case .boolean(let value): self = value ? 1 : 0
    default: return nil
    }
  }
  public var optionValue: OptionValue? { .number(self) }
}

extension Bool: OptionType {
  public static var form: OptionForm { .boolean }
  public init?(_ value: OptionValue) {
    switch value {
    case .boolean(let value): self = value
    case .integer(let value): self = value != 0
    default: return nil
    }
  }
  public var optionValue: OptionValue? { .boolean(self) }
}

extension Array: OptionType where Element == Int {
  public static var form: OptionForm { .integers }
  public init?(_ value: OptionValue) {
    guard case .integers(let value) = value else { return nil }
    self = value
  }
  public var optionValue: OptionValue? { .integers(self) }
}

extension Optional: OptionType where Wrapped: OptionType {
  public static var form: OptionForm { Wrapped.form }
  public static var choices: [String] { Wrapped.choices }
  public init?(_ value: OptionValue) {
    guard let value = Wrapped(value) else { return nil }
    self = .some(value)
  }
  public var optionValue: OptionValue? { flatMap(\.optionValue) }
}

/// Height and width.
struct OptionPair: OptionType {
  let pair: (Int, Int)

  init(_ pair: (Int, Int)) { self.pair = pair }

  static var form: OptionForm { .pair }
  init?(_ value: OptionValue) {
    guard case .integers(let list) = value, list.count == 2 else { return nil }
    pair = (list[0], list[1])
  }
  var optionValue: OptionValue? { .integers([pair.0, pair.1]) }
  var optionText: String { "\(pair)" }
}

/// Numbers of any count.
public struct OptionNumbers: OptionType {
  public let values: [Double]

  public init(_ values: [Double]) { self.values = values }

  public static var form: OptionForm { .numbers }
  public init?(_ value: OptionValue) {
    switch value {
    case .numbers(let list): values = list
    case .integers(let list): values = list.map(Double.init)
    default: return nil
    }
  }
  public var optionValue: OptionValue? { .numbers(values) }
}

/// Two numbers.
struct NumberPair: OptionType {
  let pair: (Double, Double)

  init(_ pair: (Double, Double)) { self.pair = pair }

  static var form: OptionForm { .numbers }
  init?(_ value: OptionValue) {
    guard let list = OptionNumbers(value)?.values, list.count == 2 else { return nil }
    pair = (list[0], list[1])
  }
  var optionValue: OptionValue? { .numbers([pair.0, pair.1]) }
}

/// One of a few things that have names; the name is what is given.
public protocol OptionChoice: OptionType, CaseIterable {
  var optionName: String { get }
}

extension OptionChoice {
  public static var form: OptionForm { .text }
  public static var choices: [String] { allCases.map(\.optionName) }
  public init?(_ value: OptionValue) {
    guard case .text(let name) = value,
      let choice = Self.allCases.first(where: { $0.optionName == name })
    else { return nil }
    self = choice
  }
  public var optionValue: OptionValue? { .text(optionName) }
}
