import VQTensor

/// A forward of vectors through one codebook, in one stage or in several that share it.
struct CodebookPass {
  /// What a forward may do to the codebook and what belongs to it.
  struct Mode {
    /// Whether codes are drawn where there is a temperature.
    let isTraining: Bool
    /// Whether state changes.
    let isLearning: Bool
    /// Whether it changes later, by `VectorQuant.apply`.
    let isDeferred: Bool
    /// What takes gradients of the caller's loss.
    let trained: Codebook.Parts
    /// Whether C takes the output's gradient, for the next step of its in-place optimizer.
    let isSynchronized: Bool
    /// The codes of each stage, of a forward that is made again.
    var repeated: [Tensor]?
    var trace: ForwardTrace?
  }

  let book: Codebook
  let lookup: Lookup
  let kMeans: CodebookKMeans
  let innerSteps: InnerSteps
  let replacement: Replacement
  let regularizers: CodebookRegularizers

  private var options: VectorQuantOptions { book.options }

  /// Quantizes `vectors` [m, d], then what is left of them, and so on for `count` stages; one that
  /// is learning also initializes the codebook, makes the in-place steps, updates statistics and
  /// replaces unused codes, as the options say.
  ///
  /// - Parameter passesThrough: whether the gradient of a stage's output goes straight to its
  ///   vectors; otherwise it reaches the codebook alone.
  /// - Returns: the sum of the stages' values, and codes and distances [m] or, of several stages,
  ///   [m, count].
  func quantized(
    _ vectors: Tensor, stages count: Int, passesThrough: Bool, _ mode: Mode
  ) throws -> QuantizedRows {
    if mode.isLearning { try requireUsable(vectors) }
    let isMoving = mode.isLearning && !mode.isDeferred
    let kept = isMoving ? try prepare(for: vectors, stages: count) : mode.repeated
    if mode.repeated == nil { try kMeans.requireStart() }
    if isMoving, let trace = mode.trace {
      for tensor in book.movedTensors { try trace.note(tensor) }
      if innerSteps.optimizer != nil { try trace.note(book.raw) }
    }

    let (synchronized, compared) = try codebooks(mode)
    // Searches keep a packed codebook with what they are given; `compared` is of this forward.
    let searched = book.isRaw || !mode.isTraining ? try book.read() : compared
    var stages: [StraightThrough] = []
    var parts: [AssignedVectors] = []
    var weighted: [Tensor] = []
    var residual = vectors
    for stage in 0..<count {
      let codes =
        try kept?[stage] ?? lookup.codes(of: residual, in: searched, isTraining: mode.isTraining)
      let result = try StraightThrough(
        residual, codes: codes, synchronized: synchronized, compared: compared,
        nu: options.valueRate, beta: options.beta, passesThrough: passesThrough)
      stages.append(result)
      parts.append(AssignedVectors(residual, codes: codes, codeCount: book.count))
      if let entropy = try regularizers.entropy(of: residual, in: compared) {
        weighted.append(entropy)
      }
      if stage + 1 < count { residual = try residual - result.output.detached() }
    }
    if let orthogonality = try regularizers.orthogonality(of: compared) {
      weighted.append(orthogonality)
    }
    let counts = parts.counts
    if isMoving { try finish(parts, counts) }
    if mode.isLearning && mode.isDeferred { book.waiting.add(parts) }

    let losses = stages.map(\.loss)
    let regularizer = try weighted.isEmpty ? nil : Tensor.sum(of: weighted)
    let error = stages.map(\.meanSquaredError).reduce(0, +)
    return QuantizedRows(
      output: try .sum(of: stages.map(\.output)), codes: try columns(parts.map(\.codes)),
      distances: try columns(stages.map(\.squaredDistances)), compared: vectors,
      loss: try .sum(of: losses + (regularizer.map { [$0] } ?? [])),
      commitmentLoss: share(1 - options.beta, of: error),
      codebookLoss: share(options.beta, of: error), regularization: try regularizer?.item() ?? 0,
      stageLosses: losses, perplexities: parts.map(\.perplexity),
      activeCodes: counts.count { $0 > 0 })
  }

  /// Sets the codebook by k-means of `vectors` [n, d].
  func setCodebook(by vectors: Tensor, updates: Int) throws {
    try kMeans.setCodebook(by: vectors, updates: updates)
    replacement.forgetAll()
  }

  // MARK: Parts

  private func requireUsable(_ vectors: Tensor) throws {
    try book.map.requireFinite(book.name)
    if options.entropyWeight > 0 { try requireModerate(book.name, "z", vectors) }
  }

  /// What a training forward does before it looks codes up.
  ///
  /// - Returns: the codes of each stage, where in-place steps found them and the options keep them.
  private func prepare(for vectors: Tensor, stages: Int) throws -> [Tensor]? {
    let stepping = try innerSteps.optimizer(dueFor: vectors)
    let moments = book.map.moments
    let batch = try moments.map { _ in try VectorMoments(of: vectors, book.name) }
    if let updates = kMeans.dueUpdates { try setCodebook(by: vectors, updates: updates) }
    if let moments, let batch {
      try book.raw.requireFinite(book.name, "codebook")
      try moments.update(batch, codebook: book.raw, book.name)
    }
    guard let stepping else { return nil }
    let codes = try innerSteps.step(stepping, with: vectors.detached(), stages: stages)
    return options.reassign ? nil : codes
  }

  /// The effective codebook twice: for the gradient of the output and for that of the loss.
  ///
  /// With an in-place optimizer the loss reaches the map alone, and C takes the output's gradient,
  /// in training only: what evaluation left on C, the next training forward would step by.
  private func codebooks(_ mode: Mode) throws -> (synchronized: Tensor, compared: Tensor) {
    let compared = try book.effective(training: mode.trained)
    guard mode.isSynchronized else { return (compared, compared) }
    return (try book.effective(training: [.raw, .map]), compared)
  }

  /// What a training forward does after the codes' values were read; `counts` are those of all
  /// parts.
  private func finish(_ parts: [AssignedVectors], _ counts: [Int32]) throws {
    innerSteps.advance()
    kMeans.advance()
    lookup.anneal()
    try book.follow(parts)
    try replacement.replaceUnused(by: parts, counts: counts)
  }

  private func columns(_ stages: [Tensor]) throws -> Tensor {
    stages.count == 1 ? stages[0] : try .stack(stages, axis: 1)
  }

  /// `weight * error`, 0 without weight though the error overflows.
  private func share(_ weight: Float, of error: Double) -> Float {
    weight == 0 ? 0 : Float(error * Double(weight))
  }
}
