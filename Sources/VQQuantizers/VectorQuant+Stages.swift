import VQKernels
import VQTensor

extension VectorQuant {
  /// Quantizes `vectors` [m, code size], then what is left of them, and so on for `count` stages; in
  /// training also initializes the codebook, makes the in-place steps, updates statistics and replaces
  /// unused codes, as the options say.
  ///
  /// - Parameter passesThrough: whether the gradient of a stage's output goes straight to its vectors;
  ///   otherwise it reaches the codebook alone.
  /// - Returns: the sum of the stages' values, and codes and distances [m] or, of several stages, [m, count].
  func quantizeStages(
    of vectors: Tensor, count: Int, passesThrough: Bool
  ) throws -> QuantizedRows {
    var kept: [Tensor]?
    if isLearning {
      let isInner = try checkInnerPhase(vectors)
      try requireFiniteMap()
      if options.entropyWeight > 0 { try requireModerate(name, "z", vectors) }
      let batch = try moments.map { _ in try VectorMoments(of: vectors, name) }
      try initializeCodebook(vectors)
      if let moments, let batch {
        try codebook.requireFinite(name, "codebook")
        try moments.update(batch, codebook: codebook, name)
      }
      if isInner { kept = try innerSteps(vectors.detached(), stages: count) }
      if options.reassign { kept = nil }
    }
    try requireStart()

    let (synchronized, compared) = try codebooks()
    var stages: [StraightThrough] = []
    var perplexities: [Double] = []
    var parts: [(vectors: Tensor, codes: Tensor, usage: [Int32])] = []
    var regularizers: [Tensor] = []
    var residual = vectors
    for stage in 0..<count {
      let codes = try kept?[stage] ?? lookup(residual, compared)
      let result = try StraightThrough(
        residual, codes: codes, synchronized: synchronized, compared: compared,
        nu: options.valueRate, beta: options.beta, passesThrough: passesThrough)
      let usage = codes.readCodes { codeUsage($0, rows: codes.count, codeCount: codeCount) }
      stages.append(result)
      perplexities.append(usage.perplexity)
      parts.append((residual, codes, usage.counts))
      if let entropy = try weightedEntropy(residual, compared) { regularizers.append(entropy) }
      if stage + 1 < count { residual = try residual - result.output.detached() }
    }
    if let orthogonal = try weightedOrthogonality(compared) { regularizers.append(orthogonal) }
    let usage = parts.dropFirst().reduce(parts[0].usage) { sum, part in
      zip(sum, part.usage).map { $0 &+ $1 }
    }
    if isLearning { try finishTraining(parts, usage) }

    let losses = stages.map(\.loss)
    let regularizer = try regularizers.isEmpty ? nil : Tensor.sum(of: regularizers)
    let error = stages.map(\.meanSquaredError).reduce(0, +)
    return QuantizedRows(
      output: try .sum(of: stages.map(\.output)), codes: try columns(parts.map(\.codes)),
      distances: try columns(stages.map(\.squaredDistances)), compared: vectors,
      loss: try .sum(of: losses + (regularizer.map { [$0] } ?? [])),
      commitmentLoss: share(1 - options.beta, of: error),
      codebookLoss: share(options.beta, of: error), regularization: try regularizer?.item() ?? 0,
      stageLosses: losses, perplexities: perplexities, activeCodes: usage.count { $0 > 0 })
  }

  private func columns(_ stages: [Tensor]) throws -> Tensor {
    stages.count == 1 ? stages[0] : try .stack(stages, axis: 1)
  }

  /// Codes of `vectors`: the nearest, or in training at a temperature above 0 drawn ones.
  func lookup(_ vectors: Tensor, _ effective: Tensor) throws -> Tensor {
    guard isTraining, let tau = try temperature?.item(), tau > 0 else {
      return try nearest(vectors, effective)
    }
    return try generator.draw {
      try sampleCodes(
        vectors.detached(), effective.detached(), temperature: tau, generator: $0)
    }
  }

  /// What training forwards do after the codes' values were read; `usage` is that of all parts.
  private func finishTraining(
    _ parts: [(vectors: Tensor, codes: Tensor, usage: [Int32])], _ usage: [Int32]
  ) throws {
    advancePhases()
    if let statistics {
      let map = try withoutGradients { try affineMap(isTrained: false) }
      for part in parts {
        try statistics.add(
          part.vectors, CodeIndex(part.codes, codeCount: codeCount), usage: part.usage, map: map,
          codebook: codebook)
      }
      if !options.emaManual { updateCodebook() }
    }
    try replaceUnused(usage, parts.map(\.vectors))
  }

  // MARK: Regularisers

  func weightedEntropy(_ vectors: Tensor, _ effective: Tensor) throws -> Tensor? {
    guard options.entropyWeight > 0 else { return nil }
    let entropy = try entropyRegularizer(
      vectors, effective, temperature: options.entropyTemperature)
    return try entropy.loss * options.entropyWeight
  }

  func weightedOrthogonality(_ effective: Tensor) throws -> Tensor? {
    guard options.orthogonalWeight > 0 else { return nil }
    return try orthogonalRegularizer(effective) * options.orthogonalWeight
  }

  /// A regulariser's gradient in the effective codebook, for in-place steps; nil where it is off.
  func gradient(
    in effective: Tensor, of regularizer: (Tensor) throws -> Tensor?
  ) throws -> Tensor? {
    let leaf = try effective.detached().requiringGrad(.codebook)
    guard let value = try regularizer(leaf) else { return nil }
    try value.backward()
    return leaf.grad
  }

  /// `weight * error`, 0 without weight though the error overflows.
  func share(_ weight: Float, of error: Double) -> Float {
    weight == 0 ? 0 : Float(error * Double(weight))
  }
}

extension Tensor {
  /// The identity matrix [d, d].
  static func identity(_ d: Int) throws -> Tensor {
    try Tensor(codes: (0..<d).map { Int32($0) }, shape: [d]).oneHot(d)
  }
}
