import Glibc
import VQKernels
import VQNN
import VQTensor

/// Gaussian stochastic quantization (Takida et al., "SQ-VAE: Variational Bayes on Discrete
/// Representation with Self-annealed Stochastic Quantization", ICML 2022), types I to IV.
///
/// - `s2 = e^logvar + e^s`: s is learned from its start; logvar is 0 (I), or comes from the encoder
///   and is averaged over the sample (II), over the vector (III), or not (IV). Both act within
///   +-23.
/// - `p_j = softmax_j(-1/2 sum_l (z_l - C_jl)^2 / s2_l)`, with C [k, d] from N(0, 1).
/// - Training: `z_q = softmax((log p + g) / tau) C`, g Gumbel numbers; codes are those of the
///   largest weight.
/// - Evaluation: the code of the largest p, found in Float64, the lowest index on equality; its
///   gradient reaches C alone.
/// - Loss: `sum_j p_j log p_j + 1/2 sum_l (z_l - z_ql)^2 / s2_l`, summed over positions and
///   averaged over the batch, the samples of z's first axis that have a vector. The second term is
///   `commitmentLoss`, the first `regularization`. The reconstruction's term is
///   `gaussianReconstructionLoss`.
/// - `Quantized.d` is the plain squared distance of the vector to its code.
public final class SQVAEQuant: Quantizer {
  public let options: SQVAEQuantOptions
  /// C, [k, d].
  public let codebook: Tensor
  /// s, a scalar.
  public let logVariance: Tensor
  let sampling: GumbelSampling

  private static let logVarianceLimit: Float = 23

  override var name: String { "sqvae_quant" }
  public override var featureSize: Int { options.featureSize }
  public override var codeCount: Int { options.codeCount }

  public init(_ options: SQVAEQuantOptions) throws {
    try options.check("sqvae_quant")
    self.options = options
    let generator = Generator(seed: options.seed, stream: options.stream)
    codebook = try generator.normal([options.codeCount, options.featureSize])
      .requiringGrad(.codebook).forgetGradientWhenGiven()
    logVariance = try Tensor(scalar: log(options.initialVariance)).requiringGrad(.norm)
    sampling = try GumbelSampling(options.schedule, generator: generator)
  }

  public override var ownParameters: [NamedTensor] {
    [("codebook", codebook), ("log_variance", logVariance)]
  }
  public override var ownTrainableParameters: [NamedTensor] {
    isFrozen ? [("log_variance", logVariance)] : ownParameters
  }
  public override var ownBuffers: [NamedTensor] { sampling.buffers }
  public override var ownStateRules: [(name: String, rule: OptionRule<Float>)] { sampling.rules }

  // MARK: Quantizing

  /// Quantizes `z` [..., d] whose encoder gives the log variance `logVariance`, of z's shape:
  /// required for types II to IV, refused for type I.
  ///
  /// - Parameter mask: int32 [...], 0 for vectors to leave out, of z and of the log variance.
  public func quantize(
    _ z: Tensor, logVariance: Tensor?, mask: Tensor? = nil
  ) throws -> Quantized {
    try quantize(z, mask) { rows, selection in
      try quantizeRows(rows, selection, checked(logVariance, of: z, selection))
    }
  }

  /// Codes of `z` [..., d], int32 [...]; changes no state. Only type IV needs the log variance: the
  /// others' weigh all elements alike, and the code is the nearest whatever they are.
  public func encode(_ z: Tensor, logVariance: Tensor?, mask: Tensor? = nil) throws -> Tensor {
    try encode(z, mask) { rows, selection in
      let given = try logVariance.map { try checked($0, of: z, selection) } ?? nil
      return try encodeRows(rows, selection, given)
    }
  }

  override func quantizeRows(
    _ rows: Tensor, _ selection: VectorSelection, stages: Int
  ) throws -> QuantizedRows {
    guard options.kind == .shared else { throw missingLogVariance }
    return try quantizeRows(rows, selection, nil)
  }

  override func encodeRows(
    _ rows: Tensor, _ selection: VectorSelection, stages: Int
  ) throws -> Tensor { try encodeRows(rows, selection, nil) }

  override func decodeRows(_ codes: Tensor) throws -> Tensor {
    let selection = try VectorSelection(codes: codes)
    return try selection.restore(codebook.gatherRows(selection.codes(of: codes)))
  }

  private func quantizeRows(
    _ rows: Tensor, _ selection: VectorSelection, _ logVariance: Tensor?
  ) throws -> QuantizedRows {
    try codebook.requireFinite(name, "codebook")
    let codebook = isFrozen ? codebook.detached() : codebook
    let samples = try SampleIndex(selection)
    let precision = try precision(logVariance, samples)
    // About the codebook's mean, which the gradients do not see: weights sum to 1.
    let center = try self.codebook.detached().mean(axes: [0])
    let centered = try codebook - center
    let logits = try logits(rows - center, precision, centered)

    let (output, codes): (Tensor, Tensor)
    if isTraining && isQuantizing {
      let weights = try sampling.weights(logits, name, trace)
      (output, codes) = (try weights.matmul(centered) + center, try weights.argmax(axis: 1))
    } else {
      codes = try mostProbable(rows, precision)
      output = isQuantizing ? try codebook.gatherRows(codes) : rows
    }
    let perSample = 1 / Float(samples.count)
    let entropy = try logits.expectedLogProbability().values.sum() * perSample
    let error = try ((rows - output).square() * precision).sum() * (0.5 * perSample)
    let loss = try isQuantizing ? entropy + error : Tensor(scalar: 0)
    return QuantizedRows(
      output: output, codes: codes, distances: try squaredDistances(rows, codes), compared: rows,
      loss: loss, commitmentLoss: isQuantizing ? try error.item() : 0,
      regularization: isQuantizing ? try entropy.item() : 0, codeCount: codeCount)
  }

  private func encodeRows(
    _ rows: Tensor, _ selection: VectorSelection, _ logVariance: Tensor?
  ) throws -> Tensor {
    guard options.kind == .element else { return try mostProbable(rows, nil) }
    guard logVariance != nil else { throw missingLogVariance }
    return try mostProbable(rows, precision(logVariance, SampleIndex(selection)))
  }

  // MARK: Parts

  private var missingLogVariance: VQError {
    .value(
      name, "logvar", "none",
      "type \(options.kind.optionName) needs the encoder's log variance, of z's shape")
  }

  /// The rows of a log variance that fits z.
  private func checked(
    _ logVariance: Tensor?, of z: Tensor, _ selection: VectorSelection
  ) throws -> Tensor? {
    guard let logVariance else {
      guard options.kind == .shared else { throw missingLogVariance }
      return nil
    }
    guard options.kind != .shared else {
      throw VQError.value(
        name, "logvar", "\(logVariance.shape)", "type I has one learned variance and takes none")
    }
    try logVariance.requireFloat(name)
    guard logVariance.shape == z.shape else {
      throw VQError.shape(name, [logVariance.shape, z.shape], "logvar must have z's shape")
    }
    return try finiteRows(logVariance, selection, name: "logvar")
  }

  /// `1 / s2`: [m, 1], or [m, d] for type IV.
  private func precision(_ logVariance: Tensor?, _ samples: SampleIndex) throws -> Tensor {
    func exponential(_ x: Tensor) throws -> Tensor {
      let limit = SQVAEQuant.logVarianceLimit
      return try x.clamp(minimum: -limit, maximum: limit).exp()
    }
    try self.logVariance.requireFinite(name, "log_variance")
    let learned = try exponential(self.logVariance)
    guard let logVariance else {
      return try (learned + 1).pow(-1).broadcast(to: [samples.codes.count, 1])
    }
    let reduced: Tensor
    switch options.kind {
    case .shared, .element: reduced = logVariance
    case .vector: reduced = try logVariance.mean(axes: [1], keepDims: true)
    case .sample: reduced = try samples.means(logVariance.mean(axes: [1], keepDims: true))
    }
    return try (exponential(reduced) + learned).pow(-1)
  }

  /// `-1/2 sum_l w_l (z_l - C_jl)^2` without the part that all codes share, which is one product:
  /// `(w z) . C_j - (w / 2) . C_j^2`, [m, k].
  private func logits(_ z: Tensor, _ precision: Tensor, _ codes: Tensor) throws -> Tensor {
    let isScalar = precision.shape[1] == 1
    let squares = try isScalar ? codes.square().sum(axes: [1], keepDims: true) : codes.square()
    let left = try Tensor.concatenate([z * precision, precision * -0.5], axis: 1)
    let right = try Tensor.concatenate([codes, squares], axis: 1)
    let logits = try left.matmul(right.transposed())
    try logits.requireFinite(name, "the logits")
    return logits
  }

  /// The arg-max of the logits, in Float64; the nearest code where all elements weigh alike.
  private func mostProbable(_ rows: Tensor, _ precision: Tensor?) throws -> Tensor {
    guard options.kind == .element, let precision else {
      return try assign(rows, codebook, operation: name, names: ("z", "codebook"))
    }
    try codebook.requireFinite(name, "codebook")
    return try Tensor(name, codeShape: [rows.shape[0]]) { out in
      rows.read { rows in
        precision.read { weights in
          codebook.read {
            weightedNearestCode(
              rows, weights: weights, count: precision.shape[0], $0, codes: codeCount,
              width: featureSize, out)
          }
        }
      }
    }
  }

  private func squaredDistances(_ rows: Tensor, _ codes: Tensor) throws -> Tensor {
    try (rows.detached() - codebook.detached().gatherRows(codes)).square().sum(axes: [1])
  }
}

/// The samples, entries of z's first axis, that kept vectors belong to.
private struct SampleIndex {
  /// The sample of each vector, numbered without gaps, int32 [m].
  let codes: Tensor
  /// Samples that have a vector.
  let count: Int

  init(_ selection: VectorSelection) throws {
    let size = selection.lead.dropFirst().reduce(1, *)
    let kept = selection.kept?.codes
    var last = -1
    var next: Int32 = -1
    let samples = (0..<selection.count).map { index -> Int32 in
      let sample = Int(kept?[index] ?? Int32(index)) / max(size, 1)
      if sample != last { (last, next) = (sample, next + 1) }
      return next
    }
    codes = try Tensor(codes: samples, shape: [samples.count])
    count = Int(next) + 1
  }

  /// The mean of `x` [m, 1] over each sample, at each of its vectors: [m, 1].
  func means(_ x: Tensor) throws -> Tensor {
    var sizes = [Float](repeating: 0, count: count)
    for sample in codes.codes { sizes[Int(sample)] += 1 }
    let sums = try x.scatterAddRows(codes, rows: count)
    return try (sums * Tensor(sizes.map { 1 / $0 }, shape: [count, 1])).gatherRows(codes)
  }
}

/// The reconstruction's term of the SQ-VAE loss, `D / 2 log(SSE)`: D values an image, SSE their
/// summed squared error, the mean over the batch, x's first axis, taken inside the logarithm as one
/// variance for all images gives. An SSE of 0 counts as the smallest normal float, without
/// gradient.
public func gaussianReconstructionLoss(_ x: Tensor, _ reconstruction: Tensor) throws -> Tensor {
  let operation = "sqvae_quant.reconstruction_loss"
  guard x.rank >= 1, x.shape == reconstruction.shape else {
    throw VQError.shape(
      operation, [x.shape, reconstruction.shape], "images [batch, ...] of equal shapes are required"
    )
  }
  guard x.count > 0 else {
    throw VQError.empty(operation, x.shape, "the mean needs at least one value")
  }
  let batch = Float(x.shape[0])
  let error = try (x - reconstruction).square().sum() * (1 / batch)
  return try error.clamp(minimum: .leastNormalMagnitude).log() * (Float(x.count) / batch / 2)
}
