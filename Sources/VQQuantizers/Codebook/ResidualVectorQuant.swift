import VQNN
import VQTensor

/// Residual quantization (Zeghidour et al., SoundStream, 2021): each stage quantizes what the
/// stages before leave, `r_1 = z`, `r_(s+1) = r_s - sg(z_q,s)`; the output is the sum of the
/// stages' values.
///
/// `z` [..., d] gives codes [..., stages]. Stages have codebooks of their own or share one. The
/// output's gradient reaches z once and every stage's codebook by nu; the residual is cut from the
/// tape after a stage's value, not before, so that each stage's commitment reaches z. The loss is
/// the sum over stages.
///
/// The options hold for each stage, but for the norm: without projection z is normalized once.
public final class ResidualVectorQuant: CodebookQuantizer {
  public let stages: Int
  /// Probability that a training batch uses a random number of stages, 1 to all equally likely,
  /// once every stage has its start.
  public let dropout: Float

  private let parts: PartLayers
  private let normalizer: VectorNormalizer
  private let generator: StoredGenerator
  /// The stages of a forward that is made again.
  private var repeatedStages: Int?

  public init(
    _ options: VectorQuantOptions, stages: Int, isShared: Bool = false, dropout: Float = 0
  ) throws {
    let name = "residual_vector_quant"
    try options.check(name)
    try options.checkStages(name, stages: stages, isShared: isShared, dropout: dropout)
    self.stages = stages
    self.dropout = dropout
    let isProjected = options.width != options.featureSize
    normalizer = try VectorNormalizer(options, width: options.featureSize)
    parts = try PartLayers(
      isProjected ? options : options.withoutNorm, count: stages, isShared: isShared)
    let seed = options.seeds(stages + 1)[stages]
    generator = try StoredGenerator(Generator(seed: seed, stream: options.stream))
    super.init(options: options)
  }

  override var name: String { "residual_vector_quant" }
  override var codeAxes: [Int] { [stages] }
  override var stageCount: Int? { stages }
  override var forwardDraws: StoredGenerator? { generator }
  override var isDrawnOnce: Bool { true }
  override func lossCount(stages limit: Int) -> Int { limit }
  public override var holders: [CodebookQuantizer] { layers }

  public override var children: [(name: String, module: Module)] {
    parts.children + (options.norm == .batch && !isProjected ? [("norm", normalizer)] : [])
  }

  public override var ownBuffers: [NamedTensor] {
    dropout > 0 ? [("generator", generator.state)] : []
  }

  /// One for each stage, or the one that they share.
  public var layers: [VectorQuant] { parts.layers }
  private var isProjected: Bool { options.width != options.featureSize }

  // MARK: Quantizing

  override func quantizeRows(
    _ rows: Tensor, _ selection: VectorSelection, stages limit: Int
  ) throws -> QuantizedRows {
    let used = try isQuantizing ? stagesToUse(limit) : limit
    guard !isProjected else { return try quantizeProjected(rows, selection, used, of: limit) }
    let vectors = try normalizer.normalized(rows, selection, isUpdating: isQuantizing, name)
    guard isQuantizing else { return try passed(vectors, selection, limit) }

    var result: QuantizedRows
    if parts.isShared {
      result = try layers[0].quantizeStages(of: vectors, count: used, passesThrough: false)
      result.codes = try result.codes.reshape([rows.shape[0], used])
      result.distances = try result.distances.reshape([rows.shape[0], used])
    } else {
      var residual = vectors
      let results = try layers.prefix(used).map { layer in
        let result = try layer.quantizeStages(of: residual, count: 1, passesThrough: false)
        residual = try residual - result.output.detached()
        return result
      }
      result = try QuantizedRows(
        adding: results, output: .sum(of: results.map(\.output)), compared: vectors)
    }
    result.output = try layers[0].estimated(from: vectors, to: result.output)
    return try padded(result, to: limit)
  }

  /// Stages with projections: each a whole layer from d to d. The output's gradient reaches z as
  /// the derivative of the stages without quantization, through residuals that are not cut; each
  /// commitment reaches it through its own projection, by residuals that are.
  private func quantizeProjected(
    _ rows: Tensor, _ selection: VectorSelection, _ used: Int, of limit: Int
  ) throws -> QuantizedRows {
    var (residual, passing) = (rows, rows)
    let results = try layers.prefix(used).enumerated().map { stage, layer in
      let result = try layer.quantizeRows(
        residual, passing: stage == 0 ? nil : passing, selection)
      let value = isQuantizing ? result.output : try layer.decodeRows(result.codes)
      residual = try residual - value.detached()
      passing = try passing - result.output
      return result
    }
    let sum = try QuantizedRows(
      adding: results, output: .sum(of: results.map(\.output)), compared: rows)
    return try padded(sum, to: limit)
  }

  override func repeatCodes(_ codes: Tensor?) throws {
    // A stage that was not used has -1 for every vector.
    let used = try codes?.columns().prefix { $0.codes.first ?? 0 >= 0 }
    repeatedStages = used?.count
    if parts.isShared { return layers[0].repeatStages(used.map { Array($0) }) }
    for (stage, layer) in layers.enumerated() {
      try layer.repeatCodes(used.flatMap { stage < $0.count ? $0[stage] : nil })
    }
  }

  override func encodeRows(
    _ rows: Tensor, _ selection: VectorSelection, stages limit: Int
  ) throws -> Tensor {
    let vectors =
      isProjected
      ? rows : try normalizer.normalized(rows, selection, isUpdating: false, name)
    return try stageCodes(vectors, selection, limit)
  }

  override func decodeRows(_ codes: Tensor) throws -> Tensor {
    let m = codes.shape[0]
    let values = try (0..<codes.shape[1]).map { stage in
      try parts[stage].decodeRows(
        codes.slice(axis: 1, from: stage, to: stage + 1).reshape([m]))
    }
    return try Tensor.sum(of: values)
  }

  override func fitRows(_ rows: Tensor, _ selection: VectorSelection, iterations: Int) throws {
    var residual =
      isProjected
      ? rows : try normalizer.normalized(rows, selection, isUpdating: false, name)
    for layer in layers {
      try layer.fitRows(residual, selection, iterations: iterations)
      residual = try residual - layer.decodeRows(layer.encodeRows(residual, selection, stages: 1))
    }
  }

  // MARK: Parts

  /// Codes of `vectors` [m, d] in the first stages, [m, count].
  private func stageCodes(
    _ vectors: Tensor, _ selection: VectorSelection, _ count: Int
  ) throws -> Tensor {
    var residual = vectors
    var codes: [Tensor] = []
    for stage in 0..<count {
      codes.append(try parts[stage].encodeRows(residual, selection, stages: 1))
      if stage + 1 < count {
        residual = try residual - parts[stage].decodeRows(codes[stage])
      }
    }
    return try .stack(codes, axis: 1)
  }

  /// Vectors that pass unchanged, with the codes that they would have.
  private func passed(
    _ vectors: Tensor, _ selection: VectorSelection, _ count: Int
  ) throws -> QuantizedRows {
    var residual = vectors.detached()
    let results = try (0..<count).map { stage in
      let result = try parts[stage].quantizeRows(residual, selection, stages: 1)
      residual = try residual - parts[stage].decodeRows(result.codes).detached()
      return result
    }
    var sum = try QuantizedRows(adding: results, output: vectors, compared: vectors)
    if parts.isShared { sum.activeCodes = usage(of: sum.codes, codeCount: codeCount).active }
    return sum
  }

  /// The stages that this forward uses of `limit`: all until each codebook has its start.
  private func stagesToUse(_ limit: Int) throws -> Int {
    if let repeatedStages { return repeatedStages }
    guard isTraining, dropout > 0, !layers.contains(where: \.kMeans.isWaiting) else {
      return limit
    }
    return generator.drawInForward { generator in
      let isDropping = generator.nextUniform() < Double(dropout)
      let count = 1 + generator.nextIndex(below: limit)
      return isDropping ? count : limit
    }
  }

  /// With columns for the stages that were not used: -1 for codes, 0 for distances.
  private func padded(_ rows: QuantizedRows, to count: Int) throws -> QuantizedRows {
    let missing = [rows.codes.shape[0], count - rows.codes.shape[1]]
    guard missing[1] > 0 else { return rows }
    var result = rows
    let codes = [Int32](repeating: -1, count: missing[0] * missing[1])
    result.codes = try .concatenate([rows.codes, Tensor(codes: codes, shape: missing)], axis: 1)
    result.distances = try .concatenate([rows.distances, .zeros(missing)], axis: 1)
    return result
  }
}

extension VectorQuantOptions {
  /// Refuses what stages contradict.
  fileprivate func checkStages(
    _ operation: String, stages: Int, isShared: Bool, dropout: Float
  ) throws {
    try PartLayers.check(count: stages, "stages", operation)
    guard dropout >= 0, dropout <= 1 else {
      throw VQError.value(operation, "quantizer_dropout", "\(dropout)", "must be in 0...1")
    }
    let isProjected = width != featureSize
    guard !(isShared && isProjected) else {
      throw VQError.value(
        operation, "code_size", "\(width)",
        "stages that share a codebook share its space: it must be feature_size = \(featureSize)")
    }
    guard isProjected || codebookNorm == .none || codebookNorm == .l2c else {
      throw VQError.value(
        operation, "cb_norm", codebookNorm.optionName,
        "codes of a fixed scale cannot follow residuals, which shrink from stage to stage: "
          + "it must be none or l2c, unless code_size projects each stage")
    }
  }
}
