import VQKernels
import VQNN
import VQTensor

/// Running moments of the vectors and of the raw codebook, and the affine map that moves the one to the
/// other (eq. 40-45, with the published errata):
/// `scale = sqrt(var_z / (var_C + 1e-8))`, `bias = mu_z - scale mu_C`.
///
/// The first batch is copied, later ones enter as `m new + (1 - m) old`. Variances are biased.
final class AffineMoments {
  let momentum: Float
  /// [d].
  let vectorMean: Tensor
  let vectorVariance: Tensor
  /// [groups, d].
  let codeMean: Tensor
  let codeVariance: Tensor
  /// 1 after the first batch, int32.
  let isStarted: Tensor

  init(width d: Int, groups: Int, momentum: Float) throws {
    self.momentum = momentum
    vectorMean = try .zeros([d])
    vectorVariance = try .ones([d])
    codeMean = try .zeros([groups, d])
    codeVariance = try .ones([groups, d])
    isStarted = try Tensor(codes: [0], shape: [])
  }

  var buffers: [NamedTensor] {
    [
      ("affine_vector_mean", vectorMean), ("affine_vector_variance", vectorVariance),
      ("affine_code_mean", codeMean), ("affine_code_variance", codeVariance),
      ("affine_started", isStarted),
    ]
  }

  /// Takes the moments of a batch and of the raw `codebook` [k, d].
  func update(_ batch: VectorMoments, codebook: Tensor) throws {
    let (groups, d) = (codeMean.shape[0], codeMean.shape[1])
    try withoutGradients {
      let codes = try codebook.detached().reshape([groups, codebook.shape[0] / groups, d])
      let moments = [
        (vectorMean, batch.mean), (vectorVariance, batch.variance),
        (codeMean, try codes.mean(axes: [1])),
        (codeVariance, try codes.variance(axes: [1], unbiased: false)),
      ]
      let weight = isStarted.codes[0] == 0 ? 1 : momentum
      for (running, new) in moments {
        try running.assign(weight == 1 ? new : running * (1 - weight) + new * weight)
      }
      isStarted.mutateCodes { $0[0] = 1 }
    }
  }

  /// Scale and bias [groups, d]; nil, the identity, before the first batch.
  func map() throws -> (factor: Tensor, offset: Tensor)? {
    guard isStarted.codes[0] == 1 else { return nil }
    return try withoutGradients {
      let factor = try (vectorVariance / (codeVariance + 1e-8)).sqrt()
      return (factor, try vectorMean - factor * codeMean)
    }
  }
}

/// Mean and biased variance of the vectors of a batch, [d] each, finite.
struct VectorMoments {
  let mean: Tensor
  let variance: Tensor

  init(of vectors: Tensor, _ operation: String) throws {
    let vectors = vectors.detached()
    mean = try vectors.mean(axes: [0])
    variance = try vectors.variance(axes: [0], unbiased: false)
    try mean.requireFinite(operation, "the mean of z")
    try variance.requireFinite(operation, "the variance of z")
  }
}
