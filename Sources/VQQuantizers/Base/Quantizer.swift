import VQKernels
import VQNN
import VQTensor

/// A layer that replaces vectors by codes: masks, input checks and shapes, which are the same for
/// all.
///
/// `z` is [..., d]; a mask, int32 of shape [...], leaves out the vectors where it is 0: they enter
/// neither loss nor statistics, their output is 0 and their code -1.
public class Quantizer: Module {
  /// The operation's name in errors.
  var name: String { "quantizer" }
  /// Elements of a vector, d.
  public var featureSize: Int { 0 }
  /// Elements of an output vector; other than `featureSize` where codes have a size of their own.
  public var outputSize: Int { featureSize }
  /// Elements of a vector as it is compared with codes.
  var comparedSize: Int { featureSize }
  /// Codes in each codebook, k.
  public var codeCount: Int { 0 }
  /// Axes of the codes of one vector: [] for one code, [groups] or [stages] for several.
  var codeAxes: [Int] { [] }
  /// Stages that `quantize` and `encode` may be limited to; nil for quantizers without.
  var stageCount: Int? { nil }
  /// Losses of their own, of groups or of `stages` stages.
  func lossCount(stages: Int) -> Int { 1 }

  /// Whether vectors are replaced; otherwise they pass through, compared and counted but unchanged,
  /// and no state changes.
  public var isQuantizing = true {
    didSet { for case let child as Quantizer in childModules { child.isQuantizing = isQuantizing } }
  }

  /// Where a forward notes the state that its gradients depend on; nil where the tape has it.
  var trace: ForwardTrace? {
    didSet { for case let child as Quantizer in childModules { child.trace = trace } }
  }

  /// Whether a forward is made again, for its gradients.
  var isRepeating = false

  /// Whether codebooks are fixed: no gradient, statistics, initialization or replacement reaches
  /// them.
  public var isFrozen = false {
    didSet {
      if isFrozen { dropGradientsOfFrozen() }
      for case let child as Quantizer in childModules { child.isFrozen = isFrozen }
    }
  }

  /// In the deferred mode, the block of a batch that the next training forward quantizes; nil, as
  /// at first, outside of it.
  ///
  /// A training forward then changes no state: its vectors and codes wait, until those of all
  /// blocks, here and in other processes, are applied at once. What it draws depends on the state
  /// and on the block. It may have no vectors.
  public var deferredBlock: Int? {
    didSet {
      forwardDraws?.begin(block: isDrawnOnce ? deferredBlock.map { _ in 0 } : deferredBlock)
      for case let child as Quantizer in childModules { child.deferredBlock = deferredBlock }
    }
  }
  /// Throws where something of this quantizer cannot be deferred.
  public func requireDeferrable() throws {
    guard writtenState.tensors.isEmpty else {
      throw VQError.misuse(
        name, "\(type(of: self)) changes state in training forwards: it cannot be deferred")
    }
  }

  /// What forwards draw from in the deferred mode, and whether all blocks draw the same.
  var forwardDraws: StoredGenerator? { nil }
  /// Codebooks that take the output's gradient though the caller's optimizer has them not.
  var synchronizedCodebooks: [Tensor] { [] }
  var isDrawnOnce: Bool { false }

  /// What an optimizer would still find would move them once more, or at every step.
  private func dropGradientsOfFrozen() {
    let trained = Set(ownTrainableParameters.map { ObjectIdentifier($0.tensor) })
    for (_, tensor) in ownParameters where !trained.contains(ObjectIdentifier(tensor)) {
      tensor.grad = nil
    }
  }

  private var childModules: [Module] { children.map(\.module) }

  /// What a training forward of this layer, without its children, may write.
  var writtenState: WrittenState { WrittenState(tensors: ownBuffers.map(\.tensor)) }

  public override func forward(_ x: Tensor) throws -> Tensor { try quantize(x).zq }

  // MARK: What a subclass defines

  func quantizeRows(
    _ rows: Tensor, _ selection: VectorSelection, stages: Int
  ) throws -> QuantizedRows { throw undefined("quantize") }

  /// Codes of rows [m, d], int32 [m, code axes...]; changes no state.
  func encodeRows(_ rows: Tensor, _ selection: VectorSelection, stages: Int) throws -> Tensor {
    throw undefined("encode")
  }

  /// Values of codes [m, code axes...], 0 for codes of -1: [m, d].
  func decodeRows(_ codes: Tensor) throws -> Tensor { throw undefined("decode") }

  /// Lets the next forwards take these codes [m, code axes...] without looking them up, and change
  /// no codebook; nil for those that they find.
  func repeatCodes(_ codes: Tensor?) throws {}

  /// Sets codebooks by k-means of rows [m, d].
  func fitRows(_ rows: Tensor, _ selection: VectorSelection, iterations: Int) throws {
    throw VQError.misuse(name, "\(type(of: self)) has no codebook that k-means could set")
  }

  /// The codebooks that `update` moves.
  var averagedCodebooks: [Codebook] { [] }

  func undefined(_ operation: String) -> VQError {
    .misuse(operation, "\(type(of: self)) defines none")
  }

  // MARK: Quantizing

  /// Quantizes `z` [..., d]; training forwards also update codebooks as the options say. One that
  /// throws changes nothing.
  ///
  /// - Parameters:
  ///   - mask: int32 [...], 0 for vectors to leave out.
  ///   - stages: how many stages of a residual quantizer to use; nil for all.
  public final func quantize(
    _ z: Tensor, mask: Tensor? = nil, stages: Int? = nil
  ) throws -> Quantized {
    let stages = try checkedStages(stages)
    return try quantize(z, mask, stages: stages) { rows, selection in
      try quantizeRows(rows, selection, stages: stages)
    }
  }

  /// `quantize` with `body` in the place of `quantizeRows`.
  final func quantize(
    _ z: Tensor, _ mask: Tensor?, stages: Int = 1,
    _ body: (_ rows: Tensor, _ selection: VectorSelection) throws -> QuantizedRows
  ) throws -> Quantized {
    let selection = try selection(z, mask)
    guard selection.count > 0 else {
      guard !isTraining || deferredBlock != nil else {
        throw nothing(name, z, "training needs at least one vector")
      }
      return try restored(noRows(stages), selection)
    }
    let rows = try finiteRows(z, selection)
    let mayChange = isTraining && isQuantizing && !isRepeating && trace == nil
    let before = mayChange ? try QuantizerSnapshot(of: self) : nil
    do {
      return try ProductPrecision.float32.within {
        try restored(body(rows, selection), selection)
      }
    } catch {
      try before?.restore()
      throw error
    }
  }

  /// Codes of `z` [..., d], int32 [..., code axes...]; changes no state.
  public final func encode(_ z: Tensor, mask: Tensor? = nil, stages: Int? = nil) throws -> Tensor {
    let stages = try checkedStages(stages)
    return try encode(z, mask, stages: stages) { rows, selection in
      try encodeRows(rows, selection, stages: stages)
    }
  }

  /// `encode` with `body` in the place of `encodeRows`.
  final func encode(
    _ z: Tensor, _ mask: Tensor?, stages: Int = 1,
    _ body: (_ rows: Tensor, _ selection: VectorSelection) throws -> Tensor
  ) throws -> Tensor {
    try withoutGradients {
      let selection = try selection(z, mask)
      guard selection.count > 0 else { return try selection.restore(codes: noCodes(stages)) }
      return try ProductPrecision.float32.within {
        try selection.restore(codes: body(finiteRows(z, selection), selection))
      }
    }
  }

  /// The values of `codes`, int32 [..., code axes...], as `quantize` gives them in evaluation:
  /// [..., d]. A code of -1 gives 0.
  ///
  /// - Throws: `.index` for codes outside -1..<k, `.shape` unless the code axes fit.
  public final func decode(_ codes: Tensor) throws -> Tensor {
    let operation = "\(name).decode"
    guard codes.dtype.isInteger else {
      throw VQError.type(operation, [codes.dtype], "codes must be int32")
    }
    let axes = Array(codes.shape.suffix(codeAxes.count))
    guard codes.rank >= codeAxes.count, fits(axes) else {
      throw VQError.shape(operation, [codes.shape], "the last axis must be \(codeAxes[0]) codes")
    }
    if let code = codes.readCodes({
      firstCodeOutOfRange($0, count: codes.count, from: -1, bound: codeCount)
    }) {
      throw VQError.index(operation, value: Int(code), bound: codeCount)
    }
    let lead = Array(codes.shape.dropLast(axes.count))
    let rows = try codes.reshape([lead.reduce(1, *)] + axes)
    return try ProductPrecision.float32.within {
      try decodeRows(rows).reshape(lead + [outputSize])
    }
  }

  /// Whether codes of these axes can be decoded: those of the layer, or of its first stages.
  private func fits(_ axes: [Int]) -> Bool {
    if let stageCount { return axes.count == 1 && axes[0] >= 1 && axes[0] <= stageCount }
    return axes == codeAxes
  }

  /// Sets the codebooks by k-means++ and `iterations` Lloyd updates of the vectors `z` [..., d],
  /// each stage of a residual quantizer on what the stages before leave.
  public final func fit(_ z: Tensor, mask: Tensor? = nil, iterations: Int = 10) throws {
    try requireNotFrozen("fit")
    try withoutGradients {
      let selection = try selection(z, mask)
      guard selection.count > 0 else {
        throw nothing("\(name).fit", z, "k-means needs at least one vector")
      }
      try ProductPrecision.float32.within {
        try fitRows(finiteRows(z, selection), selection, iterations: iterations)
      }
    }
  }

  /// Updates EMA codebooks from what forwards added since the last update; for codebooks with
  /// `emaManual`, others have nothing waiting.
  public final func update() throws {
    try requireNotFrozen("update")
    let codebooks = averagedCodebooks
    guard !codebooks.isEmpty else {
      throw VQError.misuse(
        "\(name).update", "only an EMA codebook has an update: ema_decay is 0")
    }
    for codebook in codebooks { codebook.update() }
  }

  // MARK: Parts

  private func requireNotFrozen(_ operation: String) throws {
    guard !isFrozen else {
      throw VQError.misuse("\(name).\(operation)", "the codebook is frozen: unfreeze it first")
    }
  }

  private func checkedStages(_ stages: Int?) throws -> Int {
    guard let stages else { return stageCount ?? 1 }
    guard let stageCount else {
      throw VQError.value(name, "stages", "\(stages)", "only a residual quantizer has stages")
    }
    guard stages >= 1, stages <= stageCount else {
      throw VQError.value(name, "stages", "\(stages)", "must be in 1...\(stageCount)")
    }
    return stages
  }

  func selection(_ z: Tensor, _ mask: Tensor?) throws -> VectorSelection {
    try z.requireFloat(name)
    guard let width = z.shape.last, width == featureSize else {
      throw VQError.shape(name, [z.shape], "the last axis must be feature_size = \(featureSize)")
    }
    return try VectorSelection(lead: Array(z.shape.dropLast()), mask: mask, name)
  }

  func finiteRows(
    _ z: Tensor, _ selection: VectorSelection, name argument: String = "z"
  ) throws -> Tensor {
    let rows = try selection.rows(of: z)
    if let index = rows.read({ firstNonFiniteElement($0, count: rows.count) }) {
      throw VQError.nonFinite(
        name, argument, value: rows.read { $0[index] },
        index: selection.position(ofElement: index, width: featureSize))
    }
    return rows
  }

  func restored(_ rows: QuantizedRows, _ selection: VectorSelection) throws -> Quantized {
    let perplexity = rows.perplexities.reduce(0, +) / Double(max(rows.perplexities.count, 1))
    let losses = rows.stageLosses
    return Quantized(
      zq: try selection.restore(rows.output), q: try selection.restore(codes: rows.codes),
      d: try selection.restore(rows.distances), z: try selection.restore(rows.compared),
      loss: rows.loss, commitmentLoss: rows.commitmentLoss, codebookLoss: rows.codebookLoss,
      regularization: rows.regularization, perplexity: Float(perplexity),
      activeCodes: rows.activeCodes,
      stageLosses: losses.count == 1 ? try losses[0].reshape([1]) : try .stack(losses, axis: 0),
      stagePerplexities: try Tensor(
        rows.perplexities.map { Float($0) }, shape: [rows.perplexities.count]))
  }

  /// The error of vectors that there are none of, or that a mask leaves out.
  private func nothing(_ operation: String, _ z: Tensor, _ rule: String) -> VQError {
    let count = z.shape.dropLast().reduce(1, *)
    if count == 0 { return .empty(operation, z.shape, rule) }
    return .value(operation, "mask", "0 of \(count) vectors", rule)
  }

  /// Codes of no rows.
  private func noCodes(_ stages: Int) throws -> Tensor {
    try Tensor(codes: [], shape: [0] + (stageCount == nil ? codeAxes : [stages]))
  }

  /// What quantizing no rows gives.
  private func noRows(_ stages: Int) throws -> QuantizedRows {
    let (codes, nothing) = (try noCodes(stages), try Tensor(scalar: 0))
    let losses = lossCount(stages: stages)
    return QuantizedRows(
      output: try .zeros([0, outputSize]), codes: codes, distances: try .zeros(codes.shape),
      compared: try .zeros([0, comparedSize]), loss: nothing, commitmentLoss: 0, codebookLoss: 0,
      regularization: 0, stageLosses: [Tensor](repeating: nothing, count: losses),
      perplexities: [Double](repeating: 0, count: losses), activeCodes: 0)
  }
}
