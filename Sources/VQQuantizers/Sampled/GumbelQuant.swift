import Glibc
import VQKernels
import VQNN
import VQTensor

/// The options of a `GumbelQuant`.
public struct GumbelQuantOptions {
  /// Elements of an input vector.
  public var featureSize: Int
  /// Codes in the codebook, k.
  public var codeCount: Int
  /// Elements of a code and of an output vector; nil for `featureSize`.
  public var codeSize: Int?
  public var schedule = GumbelSchedule()
  /// Weight of the divergence of the codes' probabilities from the uniform ones.
  public var klWeight: Float = 5e-3
  /// Whether training outputs are codes, with the gradient of the mixture.
  public var isHard = false
  /// Seed of the initial weights and of the noise.
  public var seed: UInt64 = 0
  /// Stream of the draws: layers of one seed differ by it.
  public var stream: UInt64 = 0

  public init(featureSize: Int, codeCount: Int) {
    self.featureSize = featureSize
    self.codeCount = codeCount
  }

  public static let table = GumbelSchedule.table.extended(
    GumbelQuantOptions(featureSize: 0, codeCount: 0), at: \.schedule
  ) {
    Option("feature_size", \.featureSize, .size, isRequired: true)
    Option("num_codes", \.codeCount, .size, isRequired: true)
    Option("code_size", \.codeSize, OptionRule("must be at least 1") { $0 ?? 1 >= 1 })
    Option("kl_weight", \.klWeight, .atLeastZero)
    Option("hard", \.isHard)
    Option("seed", \.seed)
    Option("stream", \.stream)
  }

  func check(_ operation: String) throws {
    try Self.table.check(self, operation)
    try requireInt32(operation, [featureSize, codeCount])
    if let codeSize { try requireInt32(operation, [codeSize]) }
  }
}

/// Throws unless each size fits in int32.
func requireInt32(_ operation: String, _ sizes: [Int]) throws {
  if sizes.contains(where: { $0 > Int(Int32.max) }) { throw VQError.overflow(operation, sizes) }
}

/// Vector quantization with Gumbel softmax (Jang et al. 2017; Karpathy's
/// `deep-vector-quantization`, 2021): logits `z W^T + b` [n, k] choose among the codes C [k, c].
///
/// - Training: `y = softmax((logits + g) / tau)` and `z_q = y C`; hard: `z_q` is the code of the
///   largest y, with the gradients of y C in y. Codes are those of the largest y.
/// - Evaluation: the code of the largest logit, the lowest index on equality; its gradient reaches
///   C alone.
/// - Loss: `kl_weight mean_i sum_j p_ij log(k p_ij)`, p = softmax(logits).
/// - `Quantized.d` is `-log p` of the code: input and code have different sizes.
public final class GumbelQuant: Quantizer {
  public let options: GumbelQuantOptions
  /// From vectors to logits: weight [k, d], bias [k].
  public let projection: Linear
  /// C, [k, c].
  public let codebook: Tensor
  let sampling: GumbelSampling

  override var name: String { "gumbel_quant" }
  public override var featureSize: Int { options.featureSize }
  public override var outputSize: Int { options.codeSize ?? options.featureSize }
  public override var codeCount: Int { options.codeCount }

  public init(_ options: GumbelQuantOptions) throws {
    try options.check("gumbel_quant")
    self.options = options
    let (k, d) = (options.codeCount, options.featureSize)
    let generator = Generator(seed: options.seed, stream: options.stream)
    projection = try Linear(inputs: d, outputs: k, generator: generator)
    codebook = try generator.normal([k, options.codeSize ?? d]).requiringGrad(.codebook)
      .forgetGradientWhenGiven()
    sampling = try GumbelSampling(options.schedule, generator: generator)
  }

  public override var ownParameters: [NamedTensor] { [("codebook", codebook)] }
  public override var ownTrainableParameters: [NamedTensor] { isFrozen ? [] : ownParameters }
  public override var ownBuffers: [NamedTensor] { sampling.buffers }
  public override var ownStateRules: [(name: String, rule: OptionRule<Float>)] { sampling.rules }
  public override var children: [(name: String, module: Module)] { [("projection", projection)] }

  override func quantizeRows(
    _ rows: Tensor, _ selection: VectorSelection, stages: Int
  ) throws -> QuantizedRows {
    guard isQuantizing || outputSize == featureSize else {
      throw VQError.misuse(
        name, "vectors of \(featureSize) elements cannot pass for codes of \(outputSize)")
    }
    let logits = try logits(rows)
    try codebook.requireFinite(name, "codebook")
    let rowsOfLogits = try logits.expectedLogProbability()
    let (output, codes) =
      isQuantizing ? try chosen(logits) : (rows, try logits.argmax(axis: 1))
    // sum_j p_j log(k p_j) = sum_j p_j log p_j + log k
    let divergence = try rowsOfLogits.values.mean() + Float(log(Double(codeCount)))
    let loss = try isQuantizing ? divergence * options.klWeight : Tensor(scalar: 0)
    return QuantizedRows(
      output: output, codes: codes,
      distances: try logits.surprisal(of: codes, logSums: rowsOfLogits.logSums), compared: rows,
      loss: loss, regularization: try loss.item(), codeCount: codeCount)
  }

  override func encodeRows(
    _ rows: Tensor, _ selection: VectorSelection, stages: Int
  ) throws -> Tensor { try logits(rows).argmax(axis: 1) }

  override func decodeRows(_ codes: Tensor) throws -> Tensor {
    let selection = try VectorSelection(codes: codes)
    return try selection.restore(codebook.gatherRows(selection.codes(of: codes)))
  }

  private func logits(_ rows: Tensor) throws -> Tensor {
    let logits = try projection(rows)  // [n, k]
    try logits.requireFinite(name, "the logits")
    return logits
  }

  private func chosen(_ logits: Tensor) throws -> (output: Tensor, codes: Tensor) {
    let codebook = isFrozen ? codebook.detached() : codebook
    guard isTraining else {
      let codes = try logits.argmax(axis: 1)
      return (try codebook.gatherRows(codes), codes)
    }
    let weights = try sampling.weights(logits, name, trace)
    let codes = try weights.argmax(axis: 1)
    let mixture =
      options.isHard
      ? try straightThrough(from: weights, to: codes.oneHot(codeCount)) : weights
    return (try mixture.matmul(codebook), codes)
  }
}
