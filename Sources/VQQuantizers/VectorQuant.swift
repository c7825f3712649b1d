import VQKernels
import VQNN
import VQTensor

/// Vector quantization with a learned codebook (Huh et al., "Straightening Out the Straight-Through
/// Estimator", ICML 2023): commitment loss, synchronized update (eq. 21), learned affine map, alternating
/// optimization and replacement of unused codes, in any combination.
///
/// The effective codebook is `E = norm((1 + lr s) C + lr b)` with C the raw codebook; codes are nearest in
/// E by `nearestCodes`. The commitment loss has no factor 1/2 and no alpha. Evaluation changes no state.
public final class VectorQuant: Quantizer {
  public let options: VectorQuantOptions
  /// The raw codebook C, [k, d].
  public let codebook: Tensor
  /// The affine map's s and b, [groups, d]; nil when its rate is 0.
  public let affineScale: Tensor?
  public let affineBias: Tensor?
  /// Steps C alone in training forwards. C then takes only the gradient of the synchronized update from
  /// the caller's loss, and is not among `ownTrainableParameters`.
  public var inplaceOptimizer: Optimizer?

  /// Training forwards since each code was last used, int32 [k].
  let unusedSteps: Tensor
  /// 1 once the codebook has its start, int32.
  let initialized: Tensor
  /// Training forwards since the last with in-place steps, int32.
  let innerPhase: Tensor
  /// Seed, stream and counter of the generator, low words first, int32 [6].
  let generatorState: Tensor

  override var name: String { "vector_quant" }
  public override var featureSize: Int { options.featureSize }
  public override var codeCount: Int { options.codeCount }

  public init(_ options: VectorQuantOptions) throws {
    try options.check("vector_quant")
    self.options = options
    let (k, d) = (options.codeCount, options.featureSize)
    let generator = Generator(seed: options.seed, stream: options.stream)
    codebook = try generator.normal([k, d]).requiringGrad(.codebook)
    if options.affineLearningRate > 0 {
      affineScale = try Tensor.zeros([options.affineGroups, d]).requiringGrad(.norm)
      affineBias = try Tensor.zeros([options.affineGroups, d]).requiringGrad(.norm)
    } else {
      affineScale = nil
      affineBias = nil
    }
    unusedSteps = try Tensor(codes: [Int32](repeating: 0, count: k), shape: [k])
    initialized = try Tensor(codes: [options.kMeansInit ? 0 : 1], shape: [])
    innerPhase = try Tensor(codes: [0], shape: [])
    generatorState = try Tensor(codes: generator.stateWords, shape: [6])
  }

  // MARK: Module

  public override var ownParameters: [NamedTensor] {
    [("codebook", codebook)] + affineParameters
  }

  public override var ownTrainableParameters: [NamedTensor] {
    inplaceOptimizer == nil ? ownParameters : affineParameters
  }

  /// What an in-place optimizer must own: exactly the raw codebook.
  public var inplaceParameters: [Tensor] { [codebook] }

  public override var ownBuffers: [NamedTensor] {
    [
      ("unused_steps", unusedSteps), ("initialized", initialized), ("inner_phase", innerPhase),
      ("generator", generatorState),
    ] + pendingGradient
  }

  /// The synchronized update's gradient, which waits on C for the next in-place step: a checkpoint may
  /// fall in between.
  private var pendingGradient: [NamedTensor] {
    guard inplaceOptimizer != nil, options.syncNu > 0 else { return [] }
    if codebook.grad == nil { codebook.grad = try? Tensor.zeros(codebook.shape) }
    return codebook.grad.map { [("codebook_gradient", $0)] } ?? []
  }

  private var affineParameters: [NamedTensor] {
    guard let affineScale, let affineBias else { return [] }
    return [("affine_scale", affineScale), ("affine_bias", affineBias)]
  }

  // MARK: Quantizing

  override func quantizeRows(
    _ rows: Tensor, _ selection: VectorSelection, stages: Int
  ) throws -> QuantizedRows {
    let vectors = try compared(rows)
    let isInner = try isLearning && checkInnerPhase(vectors)
    if isLearning {
      try affineScale?.requireFinite(name, "affine_scale")
      try affineBias?.requireFinite(name, "affine_bias")
      try initializeCodebook(vectors)
    }
    var codes = isInner ? try innerSteps(vectors.detached()) : nil
    if options.reassign { codes = nil }

    let (synchronized, compared) = try codebooks()
    let found = try codes ?? assign(vectors, compared, operation: name, names: ("z", "codebook"))
    let result = try StraightThrough(
      vectors, codes: found, synchronized: synchronized, compared: compared,
      nu: options.syncNu, beta: options.beta)

    let usage = found.readCodes {
      codeUsage($0, rows: found.count, codeCount: options.codeCount)
    }
    if isLearning {
      advanceInnerPhase()
      try replaceUnused(usage.counts, vectors)
    }
    return QuantizedRows(
      output: result.output, codes: found, distances: result.squaredDistances, compared: vectors,
      loss: result.loss, commitmentLoss: share(1 - options.beta, of: result.meanSquaredError),
      codebookLoss: share(options.beta, of: result.meanSquaredError), stageLosses: [result.loss],
      perplexities: [usage.perplexity], activeCodes: usage.active)
  }

  override func encodeRows(
    _ rows: Tensor, _ selection: VectorSelection, stages: Int
  ) throws -> Tensor {
    try assign(
      compared(rows), effectiveCodebook(), operation: name, names: ("z", "codebook"))
  }

  override func decodeRows(_ codes: Tensor) throws -> Tensor {
    let selection = try VectorSelection(codes: codes)
    return try selection.restore(effectiveCodebook().gatherRows(selection.codes(of: codes)))
  }

  /// The codebook that vectors are compared with, [k, d]: after the affine map and the norm.
  public func effectiveCodebook() throws -> Tensor {
    try effectiveCodebook(codebook, affineScale, affineBias)
  }

  // MARK: Parts

  /// `weight * error`, 0 without weight though the error overflows.
  private func share(_ weight: Float, of error: Double) -> Float {
    weight == 0 ? 0 : Float(error * Double(weight))
  }

  /// Rows as they are compared with codes.
  private func compared(_ rows: Tensor) throws -> Tensor {
    options.norm == .l2 ? try rows.unitRows() : rows
  }

  /// `norm((1 + lr s) C + lr b)` of a copy of `codebook`, so that later writes leave the tape valid.
  func effectiveCodebook(_ codebook: Tensor, _ scale: Tensor?, _ bias: Tensor?) throws -> Tensor {
    let (k, d, groups) = (options.codeCount, options.featureSize, options.affineGroups)
    var result = try codebook.recordedCopy()
    if let scale, let bias {
      let rate = options.affineLearningRate
      let factor = try (scale * rate + 1).reshape([groups, 1, d])
      let offset = try (bias * rate).reshape([groups, 1, d])
      result = try (result.reshape([groups, k / groups, d]) * factor + offset).reshape([k, d])
    }
    return options.codebookNorm == .l2 ? try result.unitRows() : result
  }

  /// The effective codebook twice: for the synchronized update's gradient and for the loss's.
  ///
  /// With an in-place optimizer the loss reaches the affine map alone, and C takes nu's gradient, in
  /// training only: what evaluation left on C, the next training forward would step by.
  private func codebooks() throws -> (synchronized: Tensor, compared: Tensor) {
    guard inplaceOptimizer != nil else {
      let effective = try effectiveCodebook()
      return (effective, effective)
    }
    let compared = try effectiveCodebook(codebook.detached(), affineScale, affineBias)
    return (isTraining && options.syncNu > 0 ? try effectiveCodebook() : compared, compared)
  }
}
