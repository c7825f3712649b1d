import VQKernels
import VQNN
import VQTensor

/// Running moments of the vectors and of the raw codebook, and the affine map that moves the one to
/// the other (eq. 40-45, with the published errata): `scale = sqrt(var_z / (var_C + 1e-8))`,
/// `bias = mu_z - scale mu_C`.
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

  var buffers: [NamedTensor] { moments + [("affine_started", isStarted)] }

  private var moments: [NamedTensor] {
    [
      ("affine_vector_mean", vectorMean), ("affine_vector_variance", vectorVariance),
      ("affine_code_mean", codeMean), ("affine_code_variance", codeVariance),
    ]
  }

  /// Takes the moments of a batch and of the raw `codebook` [k, d], or throws and changes nothing.
  ///
  /// - Throws: `.nonFinite` where they do not fit float32.
  func update(_ batch: VectorMoments, codebook: Tensor, _ operation: String) throws {
    let (groups, k, d) = (codeMean.shape[0], codebook.shape[0], codeMean.shape[1])
    let starts = (0...groups).map { $0 * k / groups }
    let ofCodes = codebook.read { segmentMoments($0, RowSegments(offsets: starts, width: d)) }
    let new = [batch.mean, batch.variance, ofCodes.mean, ofCodes.variance]
    let weight = isStarted.codes[0] == 0 ? 1 : Double(momentum)
    let next = try zip(moments, new).map { running, new in
      let values = zip(running.tensor.values, new).map { old, new in
        weight == 1 ? Float(new) : Float(Double(old) * (1 - weight) + new * weight)
      }
      let next = try Tensor(values, shape: running.tensor.shape)
      try next.requireFinite(operation, running.name)
      return next
    }
    for (running, next) in zip(moments, next) { try running.tensor.assign(next) }
    isStarted.mutateCodes { $0[0] = 1 }
  }

  /// Forgets all batches.
  func restart() {
    for mean in [vectorMean, codeMean] {
      mean.mutate { $0.update(repeating: 0, count: mean.count) }
    }
    for variance in [vectorVariance, codeVariance] {
      variance.mutate { $0.update(repeating: 1, count: variance.count) }
    }
    isStarted.mutateCodes { $0[0] = 0 }
  }

  /// Scale and bias [groups, d]; nil, the identity, before the first batch.
  func map() throws -> AffineMap? {
    guard isStarted.codes[0] == 1 else { return nil }
    return try withoutGradients {
      let factor = try (vectorVariance / (codeVariance + 1e-8)).sqrt()
      return AffineMap(factor: factor, offset: try vectorMean - factor * codeMean)
    }
  }
}

/// Mean and biased variance of the vectors of a batch, [d] each.
struct VectorMoments {
  let mean: [Double]
  let variance: [Double]

  init(mean: [Double], variance: [Double]) {
    (self.mean, self.variance) = (mean, variance)
  }

  /// - Throws: `.nonFinite` where the moments of `vectors` [n, d] do not fit float32.
  init(of vectors: Tensor, _ operation: String) throws {
    let (n, d) = (vectors.shape[0], vectors.shape[1])
    (mean, variance) = vectors.read {
      segmentMoments($0, RowSegments(offsets: [0, n], width: d))
    }
    if let index = variance.firstIndex(where: { !Float($0).isFinite }) {
      throw VQError.nonFinite(
        operation, "affine_vector_variance", value: Float(variance[index]), index: index)
    }
  }
}
