import VQTensor

/// Normalizes each channel, the last axis, over all others (Ioffe and Szegedy 2015):
/// `y = (x - mean) / sqrt(var + epsilon) * weight + bias`.
///
/// Training uses the batch's statistics and moves the running ones by `momentum`, the variance in its unbiased form;
/// evaluation uses the running ones.
public final class BatchNorm: Module {
  public let weight: Tensor
  public let bias: Tensor
  public let runningMean: Tensor
  public let runningVariance: Tensor
  /// Training forwards so far, an int32 scalar.
  public let batchCount: Tensor
  public let momentum: Float
  public let epsilon: Float

  public init(channels: Int, momentum: Float = 0.1, epsilon: Float = 1e-5) throws {
    try Initializer.require("batch_norm", ["num_features": channels])
    guard momentum >= 0, momentum <= 1 else {
      throw VQError.value("batch_norm", "momentum", "\(momentum)", "must be from 0 to 1")
    }
    guard epsilon.isFinite, epsilon > 0 else {
      throw VQError.value("batch_norm", "eps", "\(epsilon)", "must be finite and above 0")
    }
    weight = try Tensor.ones([channels]).requiringGrad(.norm)
    bias = try Tensor.zeros([channels]).requiringGrad(.norm)
    runningMean = try Tensor.zeros([channels])
    runningVariance = try Tensor.ones([channels])
    batchCount = try Tensor(codes: [0], shape: [])
    self.momentum = momentum
    self.epsilon = epsilon
  }

  public override var ownParameters: [NamedTensor] { [("weight", weight), ("bias", bias)] }

  public override var ownBuffers: [NamedTensor] {
    [
      ("running_mean", runningMean), ("running_var", runningVariance),
      ("num_batches_tracked", batchCount),
    ]
  }

  public override func forward(_ x: Tensor) throws -> Tensor { try forward(x, fusedReLU: false) }

  /// The same, followed by ReLU in one operator when `fusedReLU` is set.
  package func forward(_ x: Tensor, fusedReLU: Bool) throws -> Tensor {
    let y = try x.batchNorm(
      scale: weight, shift: bias, runningMean: runningMean, runningVariance: runningVariance,
      training: isTraining, momentum: momentum, epsilon: epsilon, fusedReLU: fusedReLU)
    if isTraining {
      try batchCount.assign(try Tensor(codes: [batchCount.codes[0] &+ 1], shape: []))
    }
    return y
  }
}
