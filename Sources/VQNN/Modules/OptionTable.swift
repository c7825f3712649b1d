import VQTensor

/// What an option's values have in common.
public struct OptionRule<Value>: Sendable {
  let text: String
  let holds: @Sendable (Value) -> Bool

  public init(_ text: String, _ holds: @escaping @Sendable (Value) -> Bool) {
    (self.text, self.holds) = (text, holds)
  }
}

extension OptionRule where Value: Comparable & Sendable {
  public static func atLeast(_ least: Value) -> Self {
    OptionRule("must be at least \(least)") { $0 >= least }
  }
}

extension OptionRule where Value == Int {
  /// Sizes whose products are checked where they are multiplied.
  public static var size: Self { .atLeast(1) }
}

extension OptionRule where Value: BinaryFloatingPoint & Sendable {
  public static var atLeastZero: Self {
    OptionRule("must be finite and at least 0") { $0.isFinite && $0 >= 0 }
  }
  public static var aboveZero: Self {
    OptionRule("must be finite and above 0") { $0.isFinite && $0 > 0 }
  }
  public static var zeroOrOne: Self { OptionRule("must be 0 or 1") { $0 == 0 || $0 == 1 } }
  public static var fraction: Self { OptionRule("must be in 0...1") { $0 >= 0 && $0 <= 1 } }
  public static var probability: Self {
    OptionRule("must be from 0 to 1") { $0 >= 0 && $0 <= 1 }
  }
  public static var belowOne: Self { OptionRule("must be in 0..<1") { $0 >= 0 && $0 < 1 } }
  public static var share: Self {
    OptionRule("must be above 0 and at most 1") { $0 > 0 && $0 <= 1 }
  }
}

/// An option: its name, where it stands in `Options`, and its rule.
public final class Option<Options> {
  public let name: String
  public let form: OptionForm
  public let choices: [String]
  public let rule: String
  public let isRequired: Bool
  let set: (inout Options, OptionValue, _ operation: String) throws -> Void
  let value: (Options) -> OptionValue?
  let check: (Options, _ operation: String) throws -> Void
  /// Without which the option does nothing.
  private(set) var need: OptionRule<Options>?

  private init<Value: OptionType>(
    _ name: String, _ type: Value.Type, _ rule: OptionRule<Value>?, isRequired: Bool,
    get: @escaping (Options) -> Value, set: @escaping (inout Options, Value) -> Void
  ) {
    (self.name, self.isRequired) = (name, isRequired)
    (form, choices) = (Value.form, Value.choices)
    self.rule = rule?.text ?? ""
    value = { get($0).optionValue }
    self.set = { options, given, operation in
      guard let value = Value(given) else { throw mismatch(operation, name, given, Value.self) }
      set(&options, value)
    }
    check = { options, operation in
      let value = get(options)
      guard let rule, !rule.holds(value) else { return }
      throw VQError.value(operation, name, value.optionText, rule.text)
    }
  }

  public convenience init<Value: OptionType>(
    _ name: String, _ path: WritableKeyPath<Options, Value>, _ rule: OptionRule<Value>? = nil,
    isRequired: Bool = false
  ) {
    self.init(
      name, Value.self, rule, isRequired: isRequired, get: { $0[keyPath: path] },
      set: { $0[keyPath: path] = $1 })
  }

  /// A pair (height, width), both at least `least` where it is given.
  public static func pair(
    _ name: String, _ path: WritableKeyPath<Options, (Int, Int)>, atLeast least: Int? = nil,
    isRequired: Bool = false
  ) -> Option {
    let rule = least.map { least in
      OptionRule<OptionPair>("both must be at least \(least)") {
        min($0.pair.0, $0.pair.1) >= least
      }
    }
    return Option(
      name, OptionPair.self, rule, isRequired: isRequired,
      get: { OptionPair($0[keyPath: path]) }, set: { $0[keyPath: path] = $1.pair })
  }

  /// A pair (height, width), or none.
  public static func optionalPair(
    _ name: String, _ path: WritableKeyPath<Options, (Int, Int)?>
  ) -> Option {
    Option(
      name, OptionPair?.self, nil, isRequired: false,
      get: { $0[keyPath: path].map(OptionPair.init) }, set: { $0[keyPath: path] = $1?.pair })
  }

  /// Two numbers, each under `rule`.
  public static func numbers(
    _ name: String, _ path: WritableKeyPath<Options, (Double, Double)>,
    both rule: OptionRule<Double>
  ) -> Option {
    let both = OptionRule<NumberPair>("both \(rule.text)") {
      rule.holds($0.pair.0) && rule.holds($0.pair.1)
    }
    return Option(
      name, NumberPair.self, both, isRequired: false,
      get: { NumberPair($0[keyPath: path]) }, set: { $0[keyPath: path] = $1.pair })
  }

  /// The same, refused as anything but its start where `holds` is false.
  public func needing(
    _ what: String, _ holds: @escaping @Sendable (Options) -> Bool
  ) -> Option {
    need = OptionRule("it needs \(what)", holds)
    return self
  }

  /// The same option of options that hold these at `path`.
  func lifted<Outer>(_ path: WritableKeyPath<Outer, Options>) -> Option<Outer> {
    Option<Outer>(
      name: name, form: form, choices: choices, rule: rule, isRequired: isRequired,
      set: { try self.set(&$0[keyPath: path], $1, $2) },
      value: { self.value($0[keyPath: path]) },
      check: { try self.check($0[keyPath: path], $1) })
  }

  private init(
    name: String, form: OptionForm, choices: [String], rule: String, isRequired: Bool,
    set: @escaping (inout Options, OptionValue, String) throws -> Void,
    value: @escaping (Options) -> OptionValue?, check: @escaping (Options, String) throws -> Void
  ) {
    (self.name, self.form, self.choices, self.rule) = (name, form, choices, rule)
    (self.isRequired, self.set, self.value, self.check) = (isRequired, set, value, check)
  }
}

private func mismatch<Value: OptionType>(
  _ operation: String, _ name: String, _ given: OptionValue, _ type: Value.Type
) -> VQError {
  switch given {
  case .text where Value.form == .text, .integer where Value.form == .integer:
    let quote = Value.form == .text ? "'" : ""
    let list = Value.choices.map { quote + $0 + quote }.joined(separator: ", ")
    return .value(operation, name, "\(given)", "it must be one of [\(list)]")
  default: break
  }
  if case .word = given, Value.form == .integer {
    return .value(operation, name, "\(given)", "must fit in int64")
  }
  if case .integer = given, Value.form == .word {
    return .value(operation, name, "\(given)", "must be at least 0")
  }
  return .option(operation, name, "\(given)", Value.form.noun)
}

/// Rows of a table, one after the other.
@resultBuilder
public enum OptionRows<Options> {
  public static func buildExpression(_ row: Option<Options>) -> [Option<Options>] { [row] }
  public static func buildExpression(_ rows: [Option<Options>]) -> [Option<Options>] { rows }
  public static func buildBlock(_ rows: [Option<Options>]...) -> [Option<Options>] {
    Array(rows.joined())
  }
}

/// The options of one kind of thing, from which they are read, checked and described.
public struct OptionTable<Options> {
  /// What every option is at first; those that are required stand for nothing.
  public let start: Options
  public let rows: [Option<Options>]
  private let rowsByName: [String: Option<Options>]
  private let required: [String]
  /// Refuses options that contradict each other.
  private let agree: (Options, _ operation: String) throws -> Void

  public init(
    _ start: Options, @OptionRows<Options> _ rows: () -> [Option<Options>],
    agree: @escaping (Options, _ operation: String) throws -> Void = { _, _ in }
  ) {
    (self.start, self.rows, self.agree) = (start, rows(), agree)
    rowsByName = Dictionary(uniqueKeysWithValues: self.rows.map { ($0.name, $0) })
    required = self.rows.filter(\.isRequired).map(\.name)
  }

  /// The table of options that hold these at `path`, and `rows` besides.
  public func extended<Outer>(
    _ start: Outer, at path: WritableKeyPath<Outer, Options>,
    @OptionRows<Outer> _ rows: () -> [Option<Outer>]
  ) -> OptionTable<Outer> {
    OptionTable<Outer>(start) {
      self.rows.map { $0.lifted(path) }
      rows()
    } agree: {
      try self.agree($0[keyPath: path], $1)
    }
  }

  /// Throws unless every option obeys its rule and all agree.
  public func check(_ options: Options, _ operation: String) throws {
    for row in rows { try row.check(options, operation) }
    try agree(options, operation)
    for row in rows {
      guard let need = row.need, !need.holds(options) else { continue }
      let value = row.value(options)
      guard value != row.value(start) else { continue }
      throw VQError.value(operation, row.name, value.map { "\($0)" } ?? "none", need.text)
    }
  }

  /// The options that are given by name, the others as at the start; not yet checked.
  public func read(
    _ given: GivenOptions, _ operation: String
  ) throws -> Options {
    var options = start
    for (place, (name, value)) in given.enumerated() {
      guard let row = rowsByName[name] else { throw unknown(name, operation) }
      if given[..<place].contains(where: { $0.name == name }) {
        throw VQError.misuse(operation, "the option \(name) is given twice")
      }
      try row.set(&options, value, operation)
    }
    for name in required where !given.contains(where: { $0.name == name }) {
      throw VQError.misuse(operation, "the option \(name) is required")
    }
    return options
  }

  private func unknown(_ name: String, _ operation: String) -> VQError {
    let known = rows.map(\.name)
    let nearest = known.min { distance($0, name) < distance($1, name) }
    let hint = nearest.map { distance($0, name) <= 3 ? "did you mean '\($0)'? " : "" } ?? ""
    let list = known.map { "'\($0)'" }.joined(separator: ", ")
    return .option(operation, name, nil, "\(hint)the known are [\(list)]")
  }
}

/// Insertions, deletions and substitutions from one name to another.
private func distance(_ a: String, _ b: String) -> Int {
  let (a, b) = (Array(a.utf8), Array(b.utf8))
  var row = Array(0...b.count)
  for (i, x) in a.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for (j, y) in b.enumerated() {
      let cost = min(row[j] + 1, row[j + 1] + 1, diagonal + (x == y ? 0 : 1))
      (diagonal, row[j + 1]) = (row[j + 1], cost)
    }
  }
  return row[b.count]
}
