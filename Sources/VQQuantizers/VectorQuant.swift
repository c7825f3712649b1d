import VQKernels
import VQNN
import VQTensor

/// Vector quantization with a learned codebook (Huh et al., "Straightening Out the Straight-Through
/// Estimator", ICML 2023): commitment loss, synchronized update (eq. 21), affine maps, alternating
/// optimization and replacement of unused codes, with the codebooks, gradients and norms of the literature.
///
/// The effective codebook is `E = norm(scale C + bias)`, or `norm(C W)`, with C the raw codebook; codes are
/// nearest in E by `nearestCodes`. The commitment loss has no factor 1/2 and no alpha. Evaluation changes
/// no state.
public final class VectorQuant: Quantizer {
  public let options: VectorQuantOptions
  /// The raw codebook C, [k, code size].
  public let codebook: Tensor
  /// The learned affine map's s and b, [groups, code size]; nil when its rate is 0.
  public let affineScale: Tensor?
  public let affineBias: Tensor?
  /// W of SimVQ, [code size, code size].
  public let transform: Tensor?
  /// Steps C alone in training forwards. C then takes only the gradient of the output from the caller's
  /// loss, as far as the synchronized update or the directional gradient give one, and is not among
  /// `ownTrainableParameters`.
  public var inplaceOptimizer: Optimizer? {
    didSet {
      codebook.leaf?.refusal =
        inplaceOptimizer == nil
        ? nil
        : "the in-place optimizer of a \(name) owns it, and no parameter belongs to two optimizers"
    }
  }

  let moments: AffineMoments?
  let statistics: CodeStatistics?
  let normalizer: VectorNormalizer
  /// The effective codebook that was last read, and the versions of what it was made of.
  var readCodebook: (versions: [Int], codebook: Tensor)?
  private let projectIn: Linear?
  private let projectOut: Linear?

  /// Training forwards since each code was last used, int32 [k].
  let unusedSteps: Tensor
  /// 1 once the codebook has its start, int32.
  let initialized: Tensor
  /// Training forwards since the last with in-place steps, int32.
  let innerPhase: Tensor
  /// Training forwards since the last k-means, int32; nil when there is none.
  let kMeansPhase: Tensor?
  /// tau of stochastic codes, a scalar; nil when codes are nearest.
  let temperature: Tensor?
  let generator: StoredGenerator
  /// The codebook before the one that a state is bringing.
  private var replacedCodebook: Tensor?

  override var name: String { "vector_quant" }
  public override var featureSize: Int { options.featureSize }
  public override var codeCount: Int { options.codeCount }

  public convenience init(_ options: VectorQuantOptions) throws {
    try options.check("vector_quant")
    try self.init(options, rowsPerVector: 1)
  }

  /// - Parameter rowsPerVector: rows that a vector is cut into, where groups share this layer; a norm of
  ///   channels keeps theirs apart.
  init(_ options: VectorQuantOptions, rowsPerVector: Int) throws {
    self.options = options
    let (k, d) = (options.codeCount, options.width)
    let draws = Generator(seed: options.seed, stream: options.stream)
    codebook = try options.start.codebook(k, d, draws).requiringGrad(.codebook)
    let isLearned = options.affine == .learned && options.affineLearningRate > 0
    affineScale = isLearned ? try .zeros([options.affineGroups, d]).requiringGrad(.norm) : nil
    affineBias = isLearned ? try .zeros([options.affineGroups, d]).requiringGrad(.norm) : nil
    transform = options.isSimVQ ? try Tensor.identity(d).requiringGrad(.weight) : nil
    moments =
      options.affine == .moments
      ? try AffineMoments(width: d, groups: options.affineGroups, momentum: options.affineMomentum)
      : nil
    statistics = options.isEMA ? try CodeStatistics(options, codebook: codebook) : nil
    normalizer = try VectorNormalizer(options, width: d, rowsPerVector: rowsPerVector)
    let isProjected = d != options.featureSize
    projectIn =
      isProjected
      ? try Linear(inputs: options.featureSize, outputs: d, generator: draws) : nil
    projectOut =
      isProjected
      ? try Linear(inputs: d, outputs: options.featureSize, generator: draws) : nil
    unusedSteps = try Tensor(codes: [Int32](repeating: 0, count: k), shape: [k])
    initialized = try Tensor(codes: [options.start.needsVectors ? 0 : 1], shape: [])
    innerPhase = try Tensor(codes: [0], shape: [])
    kMeansPhase = options.kMeansFrequency > 0 ? try Tensor(codes: [0], shape: []) : nil
    temperature = options.temperature > 0 ? try Tensor(scalar: options.temperature) : nil
    generator = try StoredGenerator(draws)
    super.init()
    codebook.observeWrites { [weak self] in try self?.codebookWasWritten($0) }
  }

  private func codebookWasWritten(_ write: TensorWrite) throws {
    switch write {
    case .assigned(let before): begin(after: before, with: [])
    case .loaded(let before): replacedCodebook = before
    case .stepped:
      if initialized.codes[0] == 0 { initialized.mutateCodes { $0[0] = 1 } }
      statistics?.restart(Array(0..<codeCount), weights: nil, from: codebook)
    }
  }

  public override func stateDidLoad(_ names: Set<String>) throws {
    if let replacedCodebook { begin(after: replacedCodebook, with: names) }
    replacedCodebook = nil
  }

  // MARK: Module

  public override var children: [(name: String, module: Module)] {
    var result: [(name: String, module: Module)] = []
    if let projectIn, let projectOut {
      result = [("project_in", projectIn), ("project_out", projectOut)]
    }
    return result + (options.norm == .batch ? [("norm", normalizer)] : [])
  }

  public override var ownParameters: [NamedTensor] { [("codebook", codebook)] + mapParameters }

  public override var ownTrainableParameters: [NamedTensor] {
    if isFrozen { return [] }
    return (trainsCodebook ? [("codebook", codebook)] : []) + mapParameters
  }

  /// What maps C to E, trained by the outer optimizer in every case.
  private var mapParameters: [NamedTensor] {
    if let transform { return [("transform", transform)] }
    guard let affineScale, let affineBias else { return [] }
    return [("affine_scale", affineScale), ("affine_bias", affineBias)]
  }

  /// What an in-place optimizer must own: exactly the raw codebook.
  public var inplaceParameters: [Tensor] { [codebook] }

  public override var ownBuffers: [NamedTensor] { statisticBuffers + pendingGradient }

  private var statisticBuffers: [NamedTensor] {
    let always: [NamedTensor] = [
      ("unused_steps", unusedSteps), ("initialized", initialized), ("inner_phase", innerPhase),
      ("generator", generator.state),
    ]
    let phases = [("kmeans_phase", kMeansPhase), ("temperature", temperature)]
    return always + phases.compactMap { name, tensor in tensor.map { (name, $0) } }
      + (moments?.buffers ?? []) + (statistics?.buffers ?? [])
  }

  override var writtenTensors: [Tensor] {
    [codebook] + statisticBuffers.map(\.tensor) + (statistics?.pending ?? [])
  }

  /// The output's gradient, which waits on C for the next in-place step: a checkpoint may fall in between.
  private var pendingGradient: [NamedTensor] {
    guard inplaceOptimizer != nil, options.valueRate > 0 else { return [] }
    if codebook.grad == nil { codebook.grad = try? Tensor.zeros(codebook.shape) }
    return codebook.grad.map { [("codebook_gradient", $0)] } ?? []
  }

  public override var vectorQuants: [VectorQuant] { [self] }
  override var comparedSize: Int { options.width }

  // MARK: Quantizing

  override func quantizeRows(
    _ rows: Tensor, _ selection: VectorSelection, stages: Int
  ) throws -> QuantizedRows {
    try quantizeRows(rows, passing: nil, selection)
  }

  /// Quantizes `rows` [m, d].
  ///
  /// - Parameter passing: rows that take the output's gradient in the place of `rows`, of the same values
  ///   unless quantization is off, when they are what passes.
  func quantizeRows(
    _ rows: Tensor, passing: Tensor?, _ selection: VectorSelection
  ) throws -> QuantizedRows {
    let vectors = try compared(rows, selection, isUpdating: isQuantizing)
    let carrier = try passing.map { try compared($0, selection, isUpdating: false) } ?? vectors
    guard isQuantizing else { return try passed(carrier, comparing: vectors) }
    let isPlain = options.gradient == .straightThrough && passing == nil
    var result = try quantizeStages(of: vectors, count: 1, passesThrough: isPlain)
    if !isPlain { result.output = try estimated(from: carrier, to: result.output) }
    result.output = try projected(result.output)
    return result
  }

  override func encodeRows(
    _ rows: Tensor, _ selection: VectorSelection, stages: Int
  ) throws -> Tensor {
    try requireStart()
    return try nearest(compared(rows, selection, isUpdating: false), codebookToRead())
  }

  override func decodeRows(_ codes: Tensor) throws -> Tensor {
    try requireStart()
    let selection = try VectorSelection(codes: codes)
    let effective = try gradientsAreRecorded ? effectiveCodebook() : codebookToRead()
    let values = try effective.gatherRows(selection.codes(of: codes))
    return try selection.restore(projected(values))
  }

  override func fitRows(_ rows: Tensor, _ selection: VectorSelection, iterations: Int) throws {
    try setCodebook(
      byKMeansOf: compared(rows, selection, isUpdating: false), iterations: iterations)
  }

  /// Rows [m, d] as they are compared with codes, [m, code size]; `isUpdating` moves running moments of a
  /// batch norm.
  func compared(
    _ rows: Tensor, _ selection: VectorSelection, isUpdating: Bool
  ) throws -> Tensor {
    let codes = try projectIn?.forward(rows) ?? rows
    return try normalizer.normalized(codes, selection, isUpdating: isUpdating, name)
  }

  /// Codes' values [m, code size] as the layer gives them, [m, d].
  func projected(_ values: Tensor) throws -> Tensor { try projectOut?.forward(values) ?? values }

  func nearest(_ vectors: Tensor, _ effective: Tensor) throws -> Tensor {
    try assign(vectors, effective, operation: name, names: ("z", "codebook"))
  }

  /// `values` at the gradient that the options choose for `vectors`.
  func estimated(from vectors: Tensor, to values: Tensor) throws -> Tensor {
    switch options.gradient {
    case .rotation: return try rotated(from: vectors, to: values)
    case .directional where isTraining:
      return try generator.draw {
        try directional(
          from: vectors, to: values, variance: options.directionalVariance, generator: $0)
      }
    case .straightThrough, .directional: return try straightThrough(from: vectors, to: values)
    }
  }

  /// What passes unchanged, with the codes that `vectors` would have.
  private func passed(_ passing: Tensor, comparing vectors: Tensor) throws -> QuantizedRows {
    let found = try nearestCodes(vectors.detached(), effectiveCodebook().detached())
    return QuantizedRows(
      output: try projected(passing), codes: found.codes, distances: found.squaredDistances,
      compared: vectors, loss: try Tensor(scalar: 0), codeCount: codeCount)
  }
}

extension CodebookStart {
  /// The codebook [k, d] before any vector is seen.
  fileprivate func codebook(_ k: Int, _ d: Int, _ generator: Generator) throws -> Tensor {
    switch self {
    case .normal, .kMeans, .plusPlus: return try generator.normal([k, d])
    case .kaiming: return try Initializer.kaimingNormal().tensor([k, d], generator: generator)
    case .uniform: return try generator.uniform([k, d], from: -1 / Float(k), to: 1 / Float(k))
    }
  }
}
