import VQKernels
import VQTensor

/// Parameters that share a learning rate and a weight decay.
public struct ParameterGroup {
  public let parameters: [Tensor]
  public var learningRate: Double
  public var weightDecay: Double
  /// Whether parameters of the roles bias and norm decay as weights do; codebooks never decay.
  public var decayBiasesAndNorms: Bool

  public init(
    _ parameters: [Tensor], learningRate: Double, weightDecay: Double = 0,
    decayBiasesAndNorms: Bool = true
  ) {
    self.parameters = parameters
    self.learningRate = learningRate
    self.weightDecay = weightDecay
    self.decayBiasesAndNorms = decayBiasesAndNorms
  }

  func decay(_ parameter: Tensor) -> Double {
    switch parameter.leaf?.role ?? .weight {
    case .weight: weightDecay
    case .bias, .norm: decayBiasesAndNorms ? weightDecay : 0
    case .codebook: 0
    }
  }
}

/// Writes parameters in place from their gradients, which it leaves alone.
///
/// A subclass names its moments and updates one parameter. A parameter without a gradient is skipped and its
/// step is not counted. When rows of a codebook are written anew, by its layer (`Leaf.rowObservers`) or by the
/// caller (`Tensor.give`), their moments become zero; those of other parameters stay, as PyTorch's do.
open class Optimizer {
  /// What the optimizer keeps of one parameter.
  public struct ParameterState {
    /// Updates so far.
    public fileprivate(set) var step = 0
    /// In the order of `momentNames`, the parameter's shape; empty before the first update.
    public fileprivate(set) var moments: [Tensor] = []
    /// Whether the moments were loaded and no step has used them yet: they belong to what is loaded with them.
    fileprivate var isFresh = false
    /// The codebook that the moments belong to, once the caller gave another: it may come back before a step.
    fileprivate var origin: Tensor?
  }

  /// Name in messages.
  public let name: String
  public let momentNames: [String]
  /// Those that are means of squares.
  open var squaredMomentNames: [String] { [] }
  public private(set) var groups: [ParameterGroup]
  /// Multiplies the learning rate of every group: what a `Schedule` sets.
  public var learningRateFactor = 1.0
  private var states: [ParameterState]

  public init(_ name: String, groups: [ParameterGroup], momentNames: [String]) throws {
    self.name = name
    self.momentNames = momentNames
    self.groups = groups
    let parameters = groups.flatMap(\.parameters)
    guard !parameters.isEmpty else {
      throw VQError.value(name, "parameters", "[]", "at least one parameter is required")
    }
    var seen: Set<ObjectIdentifier> = []
    for (index, parameter) in parameters.enumerated() {
      guard let leaf = parameter.leaf else {
        throw VQError.value(
          name, "parameters[\(index)]", "a tensor of shape \(parameter.shape)",
          "only leaves that require a gradient can be optimized")
      }
      if let refusal = leaf.refusal {
        throw VQError.value(
          name, "parameters[\(index)]", "a tensor of shape \(parameter.shape)", refusal)
      }
      guard seen.insert(ObjectIdentifier(leaf)).inserted else {
        throw VQError.value(
          name, "parameters[\(index)]", "a tensor of shape \(parameter.shape)",
          "a parameter may be given only once")
      }
    }
    states = Array(repeating: ParameterState(), count: parameters.count)
    try checkGroups()
    for (index, parameter) in parameters.enumerated() {
      parameter.leaf?.rowObservers.append { [weak self] rows in self?.forget(rows, of: index) }
      guard parameter.leaf?.role == .codebook else { continue }
      parameter.observeWrites { [weak self] in self?.note($0, of: index) }
    }
  }

  /// Updates one parameter from `gradient`; `state.step` counts this update.
  open func update(
    _ parameter: Tensor, gradient: Tensor, state: ParameterState, learningRate: Double,
    weightDecay: Double
  ) throws {
    throw VQError.misuse(name, "\(type(of: self)) defines no update")
  }

  /// The learning rate of the first group; setting it sets every group's.
  public var learningRate: Double {
    get { groups[0].learningRate }
    set { for index in groups.indices { groups[index].learningRate = newValue } }
  }

  /// Sets the learning rate of one group.
  public func setLearningRate(_ learningRate: Double, group: Int) throws {
    guard groups.indices.contains(group) else {
      throw VQError.index(name, value: group, bound: groups.count)
    }
    try Optimizer.check(name, "learning_rate", learningRate)
    groups[group].learningRate = learningRate
  }

  /// Sets the weight decay of one group.
  public func setWeightDecay(_ weightDecay: Double, group: Int) throws {
    guard groups.indices.contains(group) else {
      throw VQError.index(name, value: group, bound: groups.count)
    }
    try Optimizer.check(name, "weight_decay", weightDecay)
    groups[group].weightDecay = weightDecay
  }

  public var parameters: [Tensor] { groups.flatMap(\.parameters) }

  /// Updates every parameter that has a gradient.
  public func step() throws {
    try checkGroups()
    for parameter in parameters {
      guard let gradient = parameter.grad else { continue }
      guard gradient.dtype == .float32, gradient.shape == parameter.shape else {
        throw VQError.shape(
          name, [gradient.shape, parameter.shape], "a gradient must have its parameter's shape")
      }
    }
    var index = 0
    for group in groups {
      for parameter in group.parameters {
        defer { index += 1 }
        guard let gradient = parameter.grad else { continue }
        states[index] = try settled(index, parameter)
        states[index].isFresh = false
        if states[index].moments.isEmpty {
          states[index].moments = try momentNames.map { _ in try Tensor.zeros(parameter.shape) }
        }
        states[index].step += 1
        try update(
          parameter, gradient: gradient, state: states[index],
          learningRate: group.learningRate * learningRateFactor,
          weightDecay: group.decay(parameter))
        try parameter.announce(.stepped)
      }
    }
  }

  /// Forgets the gradients.
  public func zeroGrad() {
    for parameter in parameters { parameter.grad = nil }
  }

  /// Rows of a scalar are the whole.
  private func forget(_ rows: [Int], of index: Int) {
    states[index] = states[index].without(rows)
  }

  private func note(_ write: TensorWrite, of index: Int) {
    guard let before = write.before, states[index].step > 0, states[index].origin == nil else {
      return
    }
    if case .loaded = write, states[index].isFresh { return }
    states[index].origin = before
  }

  /// The state of a parameter without the moments of rows that the caller has given other values.
  private func settled(_ index: Int, _ parameter: Tensor) throws -> ParameterState {
    guard let origin = states[index].origin else { return states[index] }
    var state = try states[index].copied()
    state.origin = nil
    return state.without(parameter.rows(differingFrom: origin))
  }

  private func checkGroups() throws {
    try Optimizer.check(name, "learning_rate_factor", learningRateFactor)
    for group in groups {
      try Optimizer.check(name, "learning_rate", group.learningRate)
      try Optimizer.check(name, "weight_decay", group.weightDecay)
    }
  }

  /// Throws unless `value` is finite, at least 0 and, where `bound` is given, below it.
  static func check(
    _ operation: String, _ name: String, _ value: Double, below bound: Double = .infinity
  ) throws {
    guard value.isFinite, value >= 0, value < bound else {
      throw VQError.value(
        operation, name, "\(value)",
        bound == .infinity
          ? "must be finite and at least 0" : "must be at least 0 and below \(bound)")
    }
  }
}

// MARK: - State

extension Optimizer {
  /// Steps (int32 scalars) and moments of the parameters updated so far: `0.step`, `0.exp_avg`, ...; the number
  /// is the parameter's position over all groups. Options and learning rates are not part of it.
  public var state: [NamedTensor] {
    get throws {
      var result: [NamedTensor] = []
      for (index, parameter) in parameters.enumerated() {
        let state = try settled(index, parameter)
        guard state.step > 0 else { continue }
        result.append(("\(index).step", try Tensor(codes: [Int32(state.step)], shape: [])))
        for (name, moment) in zip(momentNames, state.moments) {
          result.append(("\(index).\(name)", moment))
        }
      }
      return result
    }
  }

  /// Replaces the state by copies of `state`, or throws and changes nothing.
  public func load(state: [NamedTensor]) throws { states = try checked(state) }

  /// Throws what `load` would throw.
  public func check(state: [NamedTensor]) throws { _ = try checked(state) }

  private func checked(_ state: [NamedTensor]) throws -> [ParameterState] {
    let operation = "load_state_dict"
    var given: [ExactString: Tensor] = [:]
    for (name, tensor) in state {
      guard given.updateValue(tensor, forKey: ExactString(name)) == nil else {
        throw VQError.value(operation, "name", name, "every name must be given once")
      }
    }
    var loaded = states
    for (index, parameter) in parameters.enumerated() {
      guard let step = given.removeValue(forKey: ExactString("\(index).step")) else {
        loaded[index] = ParameterState()
        continue
      }
      guard step.dtype == .int32, step.count == 1, step.codes[0] > 0 else {
        throw VQError.value(
          operation, "\(index).step", "\(step.dtype) of shape \(step.shape)",
          "must be one int32 of at least 1")
      }
      loaded[index] = ParameterState()
      loaded[index].step = Int(step.codes[0])
      loaded[index].isFresh = true
      loaded[index].moments = try momentNames.map { moment in
        let name = "\(index).\(moment)"
        guard let tensor = given.removeValue(forKey: ExactString(name)) else {
          throw VQError.value(operation, "missing", name, "every moment must be given")
        }
        try parameter.requireMatch(tensor, name, operation)
        try checkMoment(tensor, moment, name)
        return try tensor.copied()
      }
    }
    guard given.isEmpty else {
      throw VQError.value(
        operation, "unexpected", given.keys.sorted().map(\.text).joined(separator: ", "),
        "every name must be that of a moment or step")
    }
    return loaded
  }

  /// A moment may have grown to infinity, but no update gives NaN from finite gradients, nor a negative
  /// mean of squares.
  private func checkMoment(_ tensor: Tensor, _ moment: String, _ name: String) throws {
    let lowest: Float = squaredMomentNames.contains(moment) ? 0 : -.infinity
    let bad = tensor.read { values in (0..<tensor.count).first { !(values[$0] >= lowest) } }
    guard let bad else { return }
    throw VQError.value(
      "load_state_dict", name, "\(tensor.read { $0[bad] }) at flat index \(bad)",
      lowest == 0 ? "must be at least 0" : "must be a number")
  }
}

extension Optimizer.ParameterState {
  fileprivate func copied() throws -> Self {
    var copy = self
    copy.moments = try moments.map { try $0.copied() }
    return copy
  }

  /// Zero moments where `rows` were written anew, as before the first step where all were.
  fileprivate func without(_ rows: [Int]) -> Self {
    guard let moment = moments.first else { return self }
    let count = moment.shape.first ?? 1
    let rows = Set(rows).filter { (0..<count).contains($0) }
    guard rows.count < count else { return Self() }
    for moment in moments {
      moment.mutate { clearRows($0, Array(rows), columns: moment.count / count) }
    }
    return self
  }
}

extension Optimizer {
  /// Copies of all that the optimizer keeps, for `restore`.
  package func savedStates() throws -> [ParameterState] { try states.map { try $0.copied() } }

  /// Goes back to what `savedStates` gave.
  package func restore(_ saved: [ParameterState]) { states = saved }
}
