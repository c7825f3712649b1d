import VQTensor

/// The options of a `BatchNorm`.
public struct BatchNormOptions {
  public var channels = 0
  public var epsilon: Float = 1e-5
  public var momentum: Float = 0.1

  public static let table = OptionTable(BatchNormOptions()) {
    Option("features", \.channels, .size, isRequired: true)
    Option("eps", \.epsilon, .aboveZero)
    Option("momentum", \.momentum, .probability)
  }
}

/// Normalizes each channel, the last axis, over all others (Ioffe and Szegedy 2015):
/// `y = (x - mean) / sqrt(var + epsilon) * weight + bias`.
///
/// Training uses the batch's statistics and moves the running ones by `momentum`, the variance in
/// its unbiased form; evaluation uses the running ones.
public final class BatchNorm: Module {
  public let weight: Tensor
  public let bias: Tensor
  public let runningMean: Tensor
  public let runningVariance: Tensor
  /// Training forwards so far, an int32 scalar.
  public let batchCount: Tensor
  public let momentum: Float
  public let epsilon: Float
  /// Where a training batch has other parts, whose moments count too; none by default.
  public var exchange: MomentExchange?

  public convenience init(channels: Int, momentum: Float = 0.1, epsilon: Float = 1e-5) throws {
    try self.init(BatchNormOptions(channels: channels, epsilon: epsilon, momentum: momentum))
  }

  public init(_ options: BatchNormOptions) throws {
    try BatchNormOptions.table.check(options, "batch_norm")
    let channels = options.channels
    weight = try Tensor.ones([channels]).requiringGrad(.norm)
    bias = try Tensor.zeros([channels]).requiringGrad(.norm)
    runningMean = try Tensor.zeros([channels])
    runningVariance = try Tensor.ones([channels])
    batchCount = try Tensor(codes: [0], shape: [])
    momentum = options.momentum
    epsilon = options.epsilon
  }

  public static let kind = ModuleKind("batch_norm", BatchNormOptions.table) { options, _ in
    try BatchNorm(options)
  }

  public override var ownParameters: [NamedTensor] { [("weight", weight), ("bias", bias)] }

  public override var ownBuffers: [NamedTensor] {
    [
      ("running_mean", runningMean), ("running_var", runningVariance),
      ("num_batches_tracked", batchCount),
    ]
  }

  public override var ownStateRules: [(name: String, rule: OptionRule<Float>)] {
    [("running_var", .atLeastZero), ("num_batches_tracked", .atLeastZero)]
  }

  public override func forward(_ x: Tensor) throws -> Tensor { try forward(x, fusedReLU: false) }

  /// The same, followed by ReLU in one operator when `fusedReLU` is set.
  package func forward(_ x: Tensor, fusedReLU: Bool) throws -> Tensor {
    let y = try x.batchNorm(
      scale: weight, shift: bias, runningMean: runningMean, runningVariance: runningVariance,
      training: isTraining, momentum: momentum, epsilon: epsilon, fusedReLU: fusedReLU,
      exchange: exchange)
    if isTraining {
      batchCount.mutateCodes { $0[0] = min($0[0], .max - 1) + 1 }
    }
    return y
  }
}

extension Module {
  /// The batch norms of the tree.
  public var batchNorms: [BatchNorm] {
    var found: [BatchNorm] = []
    visit { _, module in
      if let norm = module as? BatchNorm { found.append(norm) }
    }
    return found
  }
}
