import VQNN
import VQTensor

/// Vector quantization with a learned codebook (Huh et al., "Straightening Out the Straight-Through
/// Estimator", ICML 2023): commitment loss, synchronized update (eq. 21), affine maps, alternating
/// optimization and replacement of unused codes, with the codebooks, gradients and norms of the
/// literature.
///
/// The effective codebook is `E = norm(scale C + bias)`, or `norm(C W)`, with C the raw codebook;
/// codes are nearest in E by `nearestCodes`. The commitment loss has no factor 1/2 and no alpha.
/// Evaluation changes no state.
public final class VectorQuant: CodebookQuantizer {
  let book: Codebook
  let lookup: Lookup
  let kMeans: CodebookKMeans
  let innerSteps: InnerSteps
  let replacement: Replacement
  let generator: StoredGenerator
  private let pass: CodebookPass
  private let space: CodeSpace
  /// The codes of each stage, of a forward that is made again.
  private var repeatedCodes: [Tensor]?
  /// The codebook before the one that a state is bringing.
  private var replacedCodebook: Tensor?

  override var name: String { "vector_quant" }

  public convenience init(_ options: VectorQuantOptions) throws {
    try options.check("vector_quant")
    try self.init(options, rowsPerVector: 1)
  }

  /// - Parameter rowsPerVector: rows that a vector is cut into, where groups share this layer; a
  ///   norm of channels keeps theirs apart.
  init(_ options: VectorQuantOptions, rowsPerVector: Int) throws {
    let draws = Generator(seed: options.seed, stream: options.stream)
    book = try Codebook(options, name: "vector_quant", generator: draws)
    space = try CodeSpace(
      options, name: book.name, rowsPerVector: rowsPerVector, generator: draws)
    generator = try StoredGenerator(draws)
    let regularizers = CodebookRegularizers(options: options)
    lookup = try Lookup(options, name: book.name, generator: generator)
    kMeans = try CodebookKMeans(book, generator: generator)
    innerSteps = try InnerSteps(book, lookup, regularizers)
    replacement = try Replacement(book, generator: generator)
    pass = CodebookPass(
      book: book, lookup: lookup, kMeans: kMeans, innerSteps: innerSteps,
      replacement: replacement, regularizers: regularizers)
    super.init(options: options)
    codebook.observeWrites { [weak self] in try self?.codebookWasWritten($0) }
  }

  // MARK: The codebook

  /// The raw codebook C, [k, code size].
  public var codebook: Tensor { book.raw }
  /// The learned affine map's s and b, [groups, code size]; nil when its rate is 0.
  public var affineScale: Tensor? { book.map.scale }
  public var affineBias: Tensor? { book.map.bias }
  /// W of SimVQ, [code size, code size].
  public var transform: Tensor? { book.map.transform }

  /// Steps C alone in training forwards. C then takes only the gradient of the output from the
  /// caller's loss, as far as the synchronized update or the directional gradient give one, and is
  /// not among `ownTrainableParameters`.
  public var inplaceOptimizer: Optimizer? {
    get { innerSteps.optimizer }
    set { innerSteps.optimizer = newValue }
  }

  public override func stepInPlace(by optimizer: Optimizer?) throws {
    if optimizer != nil { try innerSteps.checkSupport() }
    inplaceOptimizer = optimizer
  }

  /// The codebook that vectors are compared with, [k, code size]: after the affine or linear map
  /// and the norm. Its gradient reaches what the caller's loss trains: C unless an in-place
  /// optimizer or statistics move it, the map unless all is frozen.
  public override func effectiveCodebook() throws -> Tensor {
    try book.effective(training: trained)
  }

  /// What the caller's loss trains.
  private var trained: Codebook.Parts {
    if isFrozen { return [] }
    return inplaceOptimizer == nil && book.takesGradients ? [.raw, .map] : .map
  }

  private func codebookWasWritten(_ write: TensorWrite) throws {
    switch write {
    case .assigned(let before): begin(after: before, with: [])
    case .loaded(let before): replacedCodebook = before
    case .stepped:
      if kMeans.isWaiting { kMeans.finish() }
      book.statistics?.restart(Array(0..<codeCount), weights: nil, from: codebook)
    }
  }

  public override func stateDidLoad(_ names: Set<String>) throws {
    if let replacedCodebook { begin(after: replacedCodebook, with: names) }
    replacedCodebook = nil
  }

  /// Goes on as a layer that begins with the codebook as it is now: rows that are not those of
  /// `before` have no statistics, counters and gradients of their own past, and k-means does not
  /// take their place. Phases and running moments, which are of the whole codebook, begin anew.
  ///
  /// - Parameter names: state that came with the codebook, and stays.
  private func begin(after before: Tensor, with names: Set<String>) {
    let rows = codebook.rows(differingFrom: before)
    let isNew = rows.count == codeCount
    if !names.contains("initialized") { kMeans.finish() }
    if !names.contains("kmeans_phase") { kMeans.restartPhase() }
    if !rows.isEmpty, !names.contains("inner_phase") { innerSteps.restartPhase() }
    if !names.contains("unused_steps") { replacement.forget(rows) }
    if !names.contains("codebook_gradient") {
      if isNew { codebook.grad = nil } else { book.forgetGradient(of: rows) }
    }
    if let statistics = book.statistics, !names.isSuperset(of: ["ema_counts", "ema_sums"]) {
      let ones = [Float](repeating: 1, count: rows.count)
      statistics.restart(rows, weights: names.contains("ema_counts") ? nil : ones, from: codebook)
    }
    if !rows.isEmpty, !names.contains("affine_started") { book.map.moments?.restart() }
  }

  // MARK: Module

  public override var children: [(name: String, module: Module)] { space.children }

  public override var ownParameters: [NamedTensor] {
    [("codebook", codebook)] + book.map.parameters
  }

  public override var ownTrainableParameters: [NamedTensor] {
    if trained.isEmpty { return [] }
    return trained.contains(.raw) ? ownParameters : book.map.parameters
  }

  public override var ownBuffers: [NamedTensor] { statisticBuffers + pendingGradient }

  private var statisticBuffers: [NamedTensor] {
    let always: [NamedTensor] = [
      ("unused_steps", replacement.unusedSteps), ("initialized", kMeans.initialized),
      ("inner_phase", innerSteps.phase), ("generator", generator.state),
    ]
    let phases = [("kmeans_phase", kMeans.phase), ("temperature", lookup.temperature)]
    return always + phases.compactMap { name, tensor in tensor.map { (name, $0) } }
      + (book.map.moments?.buffers ?? []) + (book.statistics?.buffers ?? [])
  }

  public override var ownStateRules: [(name: String, rule: OptionRule<Float>)] {
    let counters = ["unused_steps", "inner_phase", "kmeans_phase"]
    let counts = ["ema_counts", "ema_pending_counts"]
    let others = ["temperature", "affine_vector_variance", "affine_code_variance"]
    return (counters + counts + others).map { ($0, .atLeastZero) }
      + ["initialized", "affine_started"].map { ($0, .zeroOrOne) }
  }

  override var writtenState: WrittenState {
    let isMoved =
      inplaceOptimizer != nil || book.statistics != nil || options.replaceFrequency > 0
      || kMeans.dueUpdates != nil
    return WrittenState(
      tensors: (isMoved ? [codebook] : []) + statisticBuffers.map(\.tensor)
        + (book.statistics?.pending ?? []),
      leaves: [codebook], optimizers: inplaceOptimizer.map { [$0] } ?? [], waiting: [book.waiting])
  }

  /// The output's gradient, which waits on C for the next in-place step: a checkpoint may fall in
  /// between.
  private var pendingGradient: [NamedTensor] {
    guard inplaceOptimizer != nil, options.valueRate > 0 else { return [] }
    if codebook.grad == nil { codebook.grad = try? Tensor.zeros(codebook.shape) }
    return codebook.grad.map { [("codebook_gradient", $0)] } ?? []
  }

  override var synchronizedCodebooks: [Tensor] {
    inplaceOptimizer != nil && options.valueRate > 0 && !isFrozen ? [codebook] : []
  }

  override var books: [Codebook] { [book] }
  override var forwardDraws: StoredGenerator? { generator }
  override var comparedSize: Int { options.width }

  // MARK: Quantizing

  override func quantizeRows(
    _ rows: Tensor, _ selection: VectorSelection, stages: Int
  ) throws -> QuantizedRows {
    try quantizeRows(rows, passing: nil, selection)
  }

  /// Quantizes `rows` [m, d].
  ///
  /// - Parameter passing: rows that take the output's gradient in the place of `rows`, of the same
  ///   values unless quantization is off, when they are what passes.
  func quantizeRows(
    _ rows: Tensor, passing: Tensor?, _ selection: VectorSelection
  ) throws -> QuantizedRows {
    let vectors = try space.compared(rows, selection, isUpdating: isQuantizing)
    let carrier =
      try passing.map { try space.compared($0, selection, isUpdating: false) } ?? vectors
    guard isQuantizing else { return try passed(carrier, comparing: vectors) }
    let isPlain = options.gradient == .straightThrough && passing == nil
    var result = try quantizeStages(of: vectors, count: 1, passesThrough: isPlain)
    if !isPlain { result.output = try estimated(from: carrier, to: result.output) }
    result.output = try space.projected(result.output)
    return result
  }

  /// Quantizes `vectors` [m, code size] in `count` stages: see `CodebookPass.quantized`.
  func quantizeStages(
    of vectors: Tensor, count: Int, passesThrough: Bool
  ) throws -> QuantizedRows {
    let learns = isTraining && isQuantizing && !isFrozen
    let mode = CodebookPass.Mode(
      isTraining: isTraining, isLearning: learns && repeatedCodes == nil,
      isDeferred: deferredBlock != nil, trained: trained,
      isSynchronized: learns && !synchronizedCodebooks.isEmpty, repeated: repeatedCodes,
      trace: trace)
    return try pass.quantized(vectors, stages: count, passesThrough: passesThrough, mode)
  }

  override func repeatCodes(_ codes: Tensor?) throws { repeatStages(codes.map { [$0] }) }

  /// `repeatCodes` of several stages, [m] each.
  func repeatStages(_ codes: [Tensor]?) { repeatedCodes = codes }

  override func encodeRows(
    _ rows: Tensor, _ selection: VectorSelection, stages: Int
  ) throws -> Tensor {
    try kMeans.requireStart()
    let vectors = try space.compared(rows, selection, isUpdating: false)
    return try lookup.nearest(vectors, in: book.read())
  }

  override func decodeRows(_ codes: Tensor) throws -> Tensor {
    try kMeans.requireStart()
    let selection = try VectorSelection(codes: codes)
    let effective = try gradientsAreRecorded ? effectiveCodebook() : book.read()
    let values = try effective.gatherRows(selection.codes(of: codes))
    return try selection.restore(space.projected(values))
  }

  override func fitRows(_ rows: Tensor, _ selection: VectorSelection, iterations: Int) throws {
    try pass.setCodebook(
      by: space.compared(rows, selection, isUpdating: false), updates: iterations)
  }

  /// `values` at the gradient that the options choose for `vectors`.
  func estimated(from vectors: Tensor, to values: Tensor) throws -> Tensor {
    switch options.gradient {
    case .rotation: return try rotated(from: vectors, to: values)
    case .directional where isTraining:
      try trace?.note(generator.state)
      return try generator.drawInForward {
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
      output: try space.projected(passing), codes: found.codes, distances: found.squaredDistances,
      compared: vectors, loss: try Tensor(scalar: 0), codeCount: codeCount)
  }
}
