import VQKernels
import VQTensor

/// Parameters that share a learning rate and a weight decay.
public struct ParameterGroup {
  public let parameters: [Tensor]
  public var learningRate: Double
  public var weightDecay: Double
  /// Those of the group alone, for an optimizer that has betas; nil for the optimizer's.
  public let betas: (Double, Double)?

  public init(
    _ parameters: [Tensor], learningRate: Double, weightDecay: Double = 0,
    betas: (Double, Double)? = nil
  ) {
    self.parameters = parameters
    self.learningRate = learningRate
    self.weightDecay = weightDecay
    self.betas = betas
  }
}

/// What an optimizer keeps of one parameter beside the count of its steps.
public struct Moment {
  public let name: String
  public let shape: [Int]
  /// What every element is before the first step.
  public let start: Float
  /// Whether it is a mean or a sum of squares, which no step makes negative.
  public let isOfSquares: Bool

  public init(_ name: String, _ shape: [Int], start: Float = 0, isOfSquares: Bool = false) {
    (self.name, self.shape, self.start, self.isOfSquares) = (name, shape, start, isOfSquares)
  }
}

/// Writes parameters in place from their gradients, which it leaves alone.
///
/// A subclass names its moments and updates one parameter. A parameter that is frozen or has no
/// gradient is skipped and its step is not counted. When rows of a codebook are written anew, by
/// its layer (`Leaf.rowObservers`) or by the caller (`Tensor.give`), their moments start anew;
/// those of other parameters stay, as PyTorch's do, and so do moments that have no rows of their
/// own.
open class Optimizer {
  /// What the optimizer keeps of one parameter.
  public struct ParameterState {
    /// Updates so far.
    public fileprivate(set) var step = 0
    /// In the order of `Optimizer.moments(of:)`; empty before the first update. The first axis of
    /// the first is that of the parameter.
    public fileprivate(set) var moments: [Tensor] = []
    /// What their elements were at first.
    fileprivate var starts: [Float] = []
    /// Whether the moments were loaded and no step has used them yet: they belong to what is loaded
    /// with them.
    fileprivate var isFresh = false
    /// The codebook that the moments belong to, once the caller gave another: it may come back
    /// before a step.
    fileprivate var origin: Tensor?
  }

  /// Name in messages.
  public let name: String
  public private(set) var groups: [ParameterGroup] = []
  /// Whether parameters of the roles bias and norm decay as weights do; codebooks never decay.
  public let decayBiasesAndNorms: Bool
  private var states: [ParameterState] = []
  private var seen: Set<ObjectIdentifier> = []

  public init(
    _ name: String, groups: [ParameterGroup], decayBiasesAndNorms: Bool = true
  ) throws {
    self.name = name
    self.decayBiasesAndNorms = decayBiasesAndNorms
    guard groups.isEmpty || groups.contains(where: { !$0.parameters.isEmpty }) else {
      throw VQError.value(name, "parameters", "[]", "at least one parameter is required")
    }
    for group in groups { try add(group) }
  }

  /// Takes further parameters, which no group may have yet; after a failure it has what it had.
  public func add(_ group: ParameterGroup) throws {
    try check(group)
    var leaves: [(leaf: Leaf, parameter: Tensor)] = []
    var seen = seen
    for (place, parameter) in group.parameters.enumerated() {
      func refusal(_ rule: String) -> VQError {
        VQError.value(
          name, "parameters[\(states.count + place)]", "a tensor of shape \(parameter.shape)", rule)
      }
      guard let leaf = parameter.leaf else {
        throw refusal("only leaves that require a gradient can be optimized")
      }
      if let rule = leaf.refusal ?? self.refusal(of: parameter) { throw refusal(rule) }
      guard seen.insert(ObjectIdentifier(leaf)).inserted else {
        throw refusal("a parameter may be given only once")
      }
      leaves.append((leaf, parameter))
    }
    for (leaf, parameter) in leaves {
      let index = states.count
      states.append(ParameterState())
      leaf.rowObservers.append { [weak self] rows in self?.forget(rows, of: index) }
      guard leaf.role == .codebook else { continue }
      parameter.observeWrites { [weak self] in self?.note($0, of: index) }
    }
    self.seen = seen
    groups.append(group)
  }

  /// The betas of groups without their own; nil for an optimizer that has none.
  open var betas: (Double, Double)? { nil }

  /// What is kept of `parameter`.
  open func moments(of parameter: Tensor) -> [Moment] { [] }

  /// The rule that `parameter` breaks; nil for one that the optimizer takes.
  open func refusal(of parameter: Tensor) -> String? { nil }

  /// Updates one parameter of `group` from `gradient`; `state.step` counts this update, and
  /// `weightDecay` is the group's by the parameter's role. Where it throws, it has written nothing.
  open func update(
    _ parameter: Tensor, gradient: Tensor, state: ParameterState, group: ParameterGroup,
    weightDecay: Double
  ) throws {
    throw VQError.misuse(name, "\(type(of: self)) defines no update")
  }

  /// The learning rate of the first group; setting it sets every group's.
  public var learningRate: Double {
    get { groups.first?.learningRate ?? 0 }
    set { for index in groups.indices { groups[index].learningRate = newValue } }
  }

  /// Sets the learning rate and the weight decay of one group.
  public func setGroup(_ index: Int, learningRate: Double, weightDecay: Double) throws {
    guard groups.indices.contains(index) else {
      throw VQError.index(name, value: index, bound: groups.count)
    }
    var group = groups[index]
    (group.learningRate, group.weightDecay) = (learningRate, weightDecay)
    try check(group)
    groups[index] = group
  }

  public var parameters: [Tensor] { groups.flatMap(\.parameters) }

  /// Updates every parameter that has a gradient.
  public func step() throws {
    for group in groups { try check(group) }
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
        guard parameter.requiresGrad, let gradient = parameter.grad else { continue }
        var state = try settled(index, parameter)
        state.isFresh = false
        if state.moments.isEmpty {
          let kept = moments(of: parameter)
          state.moments = try kept.map { try Tensor.full($0.shape, $0.start) }
          state.starts = kept.map(\.start)
        }
        state.step += 1
        try update(
          parameter, gradient: gradient, state: state, group: group,
          weightDecay: decay(of: parameter, in: group))
        states[index] = state
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

  private func decay(of parameter: Tensor, in group: ParameterGroup) -> Double {
    switch parameter.leaf?.role ?? .weight {
    case .weight: group.weightDecay
    case .bias, .norm: decayBiasesAndNorms ? group.weightDecay : 0
    case .codebook: 0
    }
  }

  private func check(_ group: ParameterGroup) throws {
    try check("learning_rate", group.learningRate)
    try check("weight_decay", group.weightDecay)
    guard let own = group.betas else { return }
    func refusal(_ rule: String) -> VQError {
      VQError.value(name, "betas", "\([own.0, own.1])", rule)
    }
    guard betas != nil else { throw refusal("the optimizer has none") }
    let rule = OptionRule<Double>.belowOne
    guard rule.holds(own.0), rule.holds(own.1) else { throw refusal("both \(rule.text)") }
  }

  private func check(_ setting: String, _ value: Double) throws {
    guard value.isFinite, value >= 0 else {
      throw VQError.value(name, setting, "\(value)", "must be finite and at least 0")
    }
  }
}

// MARK: - State

extension Optimizer {
  /// Steps (int32 scalars) and moments of the parameters updated so far: `0.step`, `0.exp_avg`,
  /// ...; the number is the parameter's position over all groups. Options and learning rates are
  /// not part of it.
  public var state: [NamedTensor] {
    get throws {
      var result: [NamedTensor] = []
      for (index, parameter) in parameters.enumerated() {
        let state = try settled(index, parameter)
        guard state.step > 0 else { continue }
        let step = try Tensor(codes: [Int32(clamping: state.step)], shape: [])
        result.append(("\(index).step", step))
        for (moment, tensor) in zip(moments(of: parameter), state.moments) {
          result.append(("\(index).\(moment.name)", tensor))
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
      let kept = moments(of: parameter)
      loaded[index].starts = kept.map(\.start)
      loaded[index].moments = try kept.map { moment in
        let name = "\(index).\(moment.name)"
        guard let tensor = given.removeValue(forKey: ExactString(name)) else {
          throw VQError.value(operation, "missing", name, "every moment must be given")
        }
        try tensor.require(.float32, moment.shape, name, operation)
        try check(tensor, of: moment, name)
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

  /// A moment may have grown to infinity, but no update gives NaN from finite gradients, nor a
  /// negative mean of squares.
  private func check(_ tensor: Tensor, of moment: Moment, _ name: String) throws {
    let lowest: Float = moment.isOfSquares ? 0 : -.infinity
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

  /// Moments as at first where `rows` were written anew, as before the first step where all were.
  fileprivate func without(_ rows: [Int]) -> Self {
    guard let moment = moments.first else { return self }
    let count = moment.shape.first ?? 1
    let rows = Set(rows).filter { (0..<count).contains($0) }
    guard rows.count < count else { return Self() }
    for (moment, start) in zip(moments, starts) where moment.shape.first ?? 1 == count {
      moment.mutate { clearRows($0, Array(rows), columns: moment.count / count, to: start) }
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
