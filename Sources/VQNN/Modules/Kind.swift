import VQTensor

/// Options that are given by name.
public typealias GivenOptions = [(name: String, value: OptionValue)]

/// A kind of thing that is made by name, from options by name and from parts that are none.
public struct Kind<Parts, Product> {
  public let name: String
  public let options: [OptionDescription]
  private let body: (GivenOptions, Parts) throws -> Product

  public init<Options>(
    _ name: String, _ table: OptionTable<Options>,
    _ make: @escaping (Options, Parts) throws -> Product
  ) {
    self.name = name
    options = table.rows.map { row in
      OptionDescription(
        name: row.name, form: row.form, isRequired: row.isRequired,
        start: row.isRequired ? nil : row.value(table.start), choices: row.choices,
        rule: row.rule)
    }
    body = { given, parts in try make(table.read(given, name), parts) }
  }

  public func make(_ given: GivenOptions, _ parts: Parts) throws -> Product {
    try body(given, parts)
  }
}

/// What an option is called, takes and is at first.
public struct OptionDescription: Sendable {
  public let name: String
  public let form: OptionForm
  public let isRequired: Bool
  /// nil for none.
  public let start: OptionValue?
  public let choices: [String]
  public let rule: String
}

// MARK: - Modules

public typealias ModuleKind = Kind<ModuleParts, Module>

extension Kind where Parts == ModuleParts, Product == Module {
  /// A kind without options.
  public init(_ name: String, _ make: @escaping (ModuleParts) throws -> Module) {
    self.init(name, OptionTable(()) {}) { _, parts in try make(parts) }
  }

  /// The module of `given` options, children and generator.
  public func make(
    _ given: GivenOptions, children: [Module] = [], generator: Generator? = nil
  ) throws -> Module {
    let depth = 1 + (children.map(\.depth).max() ?? 0)
    guard depth <= Module.deepest else {
      throw VQError.value(
        name, "children", "\(depth) levels", "modules nest at most \(Module.deepest) deep")
    }
    return try make(given, ModuleParts(operation: name, children: children, given: generator))
  }
}

/// What a module is made of besides its options.
public struct ModuleParts {
  let operation: String
  public let children: [Module]
  let given: Generator?

  /// The generator that draws initial weights, or in training forwards.
  public func generator() throws -> Generator {
    guard let given else { throw VQError.misuse(operation, "a generator is required") }
    return given
  }

  /// The one child.
  public func child() throws -> Module {
    guard children.count == 1 else {
      throw VQError.misuse(operation, "\(children.count) children: one is required")
    }
    return children[0]
  }
}
