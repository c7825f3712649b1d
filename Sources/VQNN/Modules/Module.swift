import VQTensor

/// A tensor and its dotted name.
public typealias NamedTensor = (name: String, tensor: Tensor)

/// A layer or network: parameters, buffers, children and a forward.
///
/// A subclass lists what it owns explicitly; the dotted names follow from the tree and are
/// PyTorch's.
open class Module {
  /// Whether forwards are those of training; setting it reaches every descendant.
  public var isTraining = true {
    didSet { for (_, child) in children { child.isTraining = isTraining } }
  }

  public init() {}

  open func forward(_ x: Tensor) throws -> Tensor {
    throw VQError.misuse("forward", "\(type(of: self)) defines no forward of one tensor")
  }

  public final func callAsFunction(_ x: Tensor) throws -> Tensor { try forward(x) }

  /// Leaves that gradients reach, without those of children.
  open var ownParameters: [NamedTensor] { [] }

  /// Those of `ownParameters` that an outer optimizer may own.
  open var ownTrainableParameters: [NamedTensor] { ownParameters }

  /// State that is written without gradients, without that of children.
  open var ownBuffers: [NamedTensor] { [] }

  /// State that a state to load may have or leave out, whether or not it is among `ownBuffers` now.
  open var ownOptionalBuffers: [NamedTensor] { [] }

  /// What every element of a parameter or buffer of that name keeps to, without those of children.
  open var ownStateRules: [(name: String, rule: OptionRule<Float>)] { [] }

  /// Generators that forwards draw from, without those of children.
  open var ownGenerators: [(name: String, generator: Generator)] { [] }

  open var children: [(name: String, module: Module)] { [] }

  /// Called on every module of the tree after a state was loaded; `names` are those of
  /// `ownParameters` and `ownBuffers` or `ownOptionalBuffers` that it had. What follows from them
  /// and is not among them must follow now.
  open func stateDidLoad(_ names: Set<String>) throws {}
}

// MARK: - Dotted names

extension Module {
  /// Every parameter once, under its first name.
  public var namedParameters: [NamedTensor] { distinct(collect(\.ownParameters)) }

  /// Every parameter that an outer optimizer may own, once.
  public var trainableParameters: [NamedTensor] { distinct(collect(\.ownTrainableParameters)) }

  public var namedBuffers: [NamedTensor] { collect(\.ownBuffers) }

  /// What a state may have or leave out.
  public var optionalBuffers: [NamedTensor] { collect(\.ownOptionalBuffers) }

  /// Parameters and buffers, module by module, under every name: PyTorch's `state_dict`.
  public var state: [NamedTensor] { collect { $0.ownParameters + $0.ownBuffers } }

  /// Forgets the gradient of every parameter that an outer optimizer may own.
  public func zeroGrad() {
    for (_, parameter) in trainableParameters { parameter.grad = nil }
  }

  /// Levels that forwards and walks of the tree go down, in a call each.
  static var deepest: Int { 1000 }

  var depth: Int { 1 + (children.map(\.module.depth).max() ?? 0) }

  private func collect(_ own: (Module) -> [NamedTensor]) -> [NamedTensor] {
    var result: [NamedTensor] = []
    visit { prefix, module in
      for (name, tensor) in own(module) { result.append((prefix + name, tensor)) }
    }
    return result
  }

  /// Calls `body` with every module of the tree, parents first, and its dotted prefix.
  func visit(_ prefix: String = "", _ body: (_ prefix: String, _ module: Module) throws -> Void)
    rethrows
  {
    try body(prefix, self)
    for (name, child) in children { try child.visit("\(prefix)\(name).", body) }
  }

  private func distinct(_ tensors: [NamedTensor]) -> [NamedTensor] {
    var seen: Set<ObjectIdentifier> = []
    return tensors.filter { seen.insert(ObjectIdentifier($0.tensor.storage)).inserted }
  }
}

// MARK: - Loading

extension Module {
  /// Copies `state` into the parameters and buffers of the same names, all of them or, when it
  /// throws, none.
  ///
  /// - Parameter strict: refuses names that are missing or unknown; otherwise they are passed over.
  /// - Throws: `.value` for names and for numbers that no such state has, `.shape` and `.type` for
  ///   tensors that do not fit, `.nonFinite` for NaN and infinity.
  public func load(state: [NamedTensor], strict: Bool = true) throws {
    let fitting = try checked(state, strict: strict)
    for (tensor, source) in fitting { try tensor.give(source, isLoaded: true) }
    let given = Set(state.map { ExactString($0.name) })
    try visit { prefix, module in
      let own = (module.ownParameters + module.ownBuffers + module.ownOptionalBuffers).map(\.name)
      try module.stateDidLoad(Set(own.filter { given.contains(ExactString(prefix + $0)) }))
    }
  }

  /// Throws what `load` would throw.
  public func check(state: [NamedTensor], strict: Bool = true) throws {
    _ = try checked(state, strict: strict)
  }

  /// The tensors that `state` is for, each with what it becomes.
  private func checked(
    _ state: [NamedTensor], strict: Bool
  ) throws -> [(tensor: Tensor, source: Tensor)] {
    let operation = "load_state_dict"
    var ordered = self.state
    var own = Set(ordered.map { ExactString($0.name) })
    let optional = Set(optionalBuffers.map { ExactString($0.name) })
    ordered += optionalBuffers.filter { own.insert(ExactString($0.name)).inserted }
    var given: [ExactString: Tensor] = [:]
    for (name, tensor) in state {
      guard given.updateValue(tensor, forKey: ExactString(name)) == nil else {
        throw VQError.value(operation, "name", name, "every name must be given once")
      }
    }
    if strict {
      let missing = ordered.map(\.name).filter {
        given[ExactString($0)] == nil && !optional.contains(ExactString($0))
      }
      guard missing.isEmpty else {
        throw VQError.value(
          operation, "missing", missing.joined(separator: ", "),
          "every parameter and buffer must be given")
      }
      let unexpected = state.map(\.name).filter { !own.contains(ExactString($0)) }
      guard unexpected.isEmpty else {
        throw VQError.value(
          operation, "unexpected", unexpected.joined(separator: ", "),
          "every name must be that of a parameter or buffer")
      }
    }
    let fitting = try ordered.compactMap { name, tensor in
      try given[ExactString(name)].map { (tensor, try tensor.matching($0, name, operation)) }
    }
    try visit { prefix, module in
      for (name, rule) in module.ownStateRules {
        try given[ExactString(prefix + name)]?.require(rule, operation, prefix + name)
      }
    }
    return fitting
  }
}
