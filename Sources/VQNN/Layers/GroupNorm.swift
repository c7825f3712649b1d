import VQTensor

/// The options of a `GroupNorm`.
public struct GroupNormOptions {
  public var groups = 1
  public var channels = 1
  public var epsilon: Float = 1e-5
  /// Whether each channel has a weight and a bias.
  public var isAffine = true

  public static let table = OptionTable(GroupNormOptions()) {
    Option("groups", \.groups, .size, isRequired: true)
    Option("features", \.channels, .size, isRequired: true)
    Option("eps", \.epsilon, .aboveZero)
    Option("affine", \.isAffine)
  } agree: { options, operation in
    guard options.channels % options.groups == 0 else {
      throw VQError.value(
        operation, "groups", "\(options.groups)", "must divide features = \(options.channels)")
    }
  }
}

/// Normalizes groups of neighboring channels of each sample over its positions (Wu and He 2018):
/// [n, ..., c]; with as many groups as channels instance normalization (Ulyanov et al. 2016).
public final class GroupNorm: Module {
  public let options: GroupNormOptions
  /// [c]; nil where there is none.
  public let weight: Tensor?
  public let bias: Tensor?

  public init(_ options: GroupNormOptions) throws {
    try GroupNormOptions.table.check(options, "group_norm")
    self.options = options
    let shape = [options.channels]
    weight = options.isAffine ? try Tensor.ones(shape).requiringGrad(.norm) : nil
    bias = options.isAffine ? try Tensor.zeros(shape).requiringGrad(.norm) : nil
  }

  public static let kind = ModuleKind("group_norm", GroupNormOptions.table) { options, _ in
    try GroupNorm(options)
  }

  public override var ownParameters: [NamedTensor] {
    [("weight", weight), ("bias", bias)].compactMap { name, tensor in tensor.map { (name, $0) } }
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    guard x.shape.last == options.channels else {
      throw VQError.shape(
        "group_norm", [x.shape], "the last axis must have \(options.channels) channels")
    }
    return try x.groupNorm(
      groups: options.groups, weight: weight, bias: bias, epsilon: options.epsilon)
  }
}
