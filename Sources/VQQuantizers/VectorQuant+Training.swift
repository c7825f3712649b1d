import VQKernels
import VQNN
import VQTensor

/// What training forwards write: initialization, in-place steps, statistics, replacement.
extension VectorQuant {
  // MARK: Initialization

  /// Lloyd updates after k-means++.
  static let initialUpdates = 10

  /// Sets the codebook by k-means of the first training vectors, or of every so many, as the options say.
  func initializeCodebook(_ vectors: Tensor) throws {
    let isFirst = initialized.codes[0] == 0
    let isDue = kMeansPhase.map { Int($0.codes[0]) >= options.kMeansFrequency } ?? false
    guard isFirst || isDue else { return }
    try setCodebook(
      byKMeansOf: vectors,
      iterations: isFirst && options.start == .plusPlus ? 0 : Self.initialUpdates)
  }

  /// Sets the codebook by k-means++ and Lloyd updates of `vectors` [n, code size].
  func setCodebook(byKMeansOf vectors: Tensor, iterations: Int) throws {
    let k = codeCount
    let result = try generator.draw { generator in
      try kmeans(
        vectors.detached(), k: k, iterations: iterations, initial: .plusPlus,
        generator: generator, operation: name, name: "z")
    }
    let usage = result.codes.readCodes { codeUsage($0, rows: vectors.shape[0], codeCount: k) }
    try write(
      result.centroids, rows: Array(0..<k), weights: usage.counts.map { Float(max($0, 1)) })
    initialized.mutateCodes { $0[0] = 1 }
    kMeansPhase?.mutateCodes { $0[0] = 0 }
    unusedSteps.mutateCodes { $0.update(repeating: 0, count: k) }
  }

  /// Throws while the codebook waits for the vectors that give it its start: its codes are random.
  func requireStart() throws {
    guard initialized.codes[0] == 0 else { return }
    throw VQError.misuse(
      name,
      "the codebook waits for its start, k-means of the first training batch: make a training forward, "
        + "or call fit(z), before codes are looked up")
  }

  func requireFiniteMap() throws {
    try affineScale?.requireFinite(name, "affine_scale")
    try affineBias?.requireFinite(name, "affine_bias")
    try transform?.requireFinite(name, "transform")
  }

  // MARK: In-place steps

  /// Whether an in-place optimizer can own this codebook.
  public func checkInplaceSupport() throws {
    guard statistics == nil else {
      throw VQError.misuse(
        name, "an EMA codebook has no gradient: inplace_optimizer and ema_decay exclude each other")
    }
    guard transform == nil else {
      throw VQError.misuse(
        name, "SimVQ freezes the codebook: there is nothing that an inplace_optimizer could step")
    }
  }

  /// Whether this training forward makes in-place steps; throws when it cannot.
  func checkInnerPhase(_ vectors: Tensor) throws -> Bool {
    guard let inplaceOptimizer else { return false }
    try checkInplaceSupport()
    let parameters = inplaceOptimizer.parameters
    guard parameters.count == 1, parameters[0] === codebook else {
      throw VQError.misuse(
        name, "the in-place optimizer must own the layer's codebook and nothing else")
    }
    guard innerPhase.codes[0] == 0 else { return false }
    guard vectors.shape[0] >= options.innerSteps else {
      throw VQError.shape(
        name, [vectors.shape],
        "inner_steps = \(options.innerSteps) needs as many vectors, and there are \(vectors.shape[0])"
      )
    }
    return true
  }

  /// Counts a training forward.
  func advancePhases() {
    if inplaceOptimizer != nil {
      let next = Int(innerPhase.codes[0]) + 1
      innerPhase.mutateCodes { $0[0] = next >= options.outerSteps ? 0 : Int32(next) }
    }
    kMeansPhase?.mutateCodes { $0[0] += 1 }
    temperature?.mutate {
      $0[0] = max(options.temperatureMinimum, $0[0] * options.temperatureDecay)
    }
  }

  /// One step of the in-place optimizer for each contiguous part of `z` [n, code size]: the gradient in C,
  /// through the map and norm, of the sum over stages of `mse(sg z, z_q)` and the entropy regulariser, and of
  /// the orthogonal one, added to what backward left on C.
  ///
  /// - Returns: for each stage the codes that the parts had before their steps, int32 [n].
  func innerSteps(_ z: Tensor, stages: Int) throws -> [Tensor]? {
    guard let inplaceOptimizer else { return nil }
    let (n, steps) = (z.shape[0], options.innerSteps)
    var codes = [[Tensor]](repeating: [], count: stages)
    for step in 0..<steps {
      let part =
        steps == 1 ? z : try z.slice(axis: 0, from: step * n / steps, to: (step + 1) * n / steps)
      try withGradients {
        let effective = try effectiveCodebook(codebook, mapIsTrained: false)
        let values = effective.detached()
        var gradient: Tensor?
        var residual = part
        for stage in 0..<stages {
          let found = try lookup(residual, values)
          codes[stage].append(found)
          var parts = [
            try codebookGradient(
              residual, values, CodeIndex(found, codeCount: codeCount),
              scale: 2 / Double(part.count))
          ]
          let own = residual
          if let entropy = try self.gradient(in: values, of: { try weightedEntropy(own, $0) }) {
            parts.append(entropy)
          }
          gradient = try Tensor.sum(of: (gradient.map { [$0] } ?? []) + parts)
          if stage + 1 < stages { residual = try residual - values.gatherRows(found) }
        }
        if let orthogonal = try self.gradient(in: values, of: weightedOrthogonality) {
          gradient = try gradient.map { try $0 + orthogonal }
        }
        try effective.backward(gradient)
        try codebook.grad?.requireFinite(name, "the codebook's gradient")
        try inplaceOptimizer.step()
        try codebook.requireFinite(name, "the codebook after the in-place step")
      }
      codebook.grad = nil
    }
    return try codes.map { $0.count == 1 ? $0[0] : try Tensor.concatenate($0, axis: 0) }
  }

  // MARK: Statistics and replacement

  /// Updates an EMA codebook from what was added since the last update.
  func updateCodebook() { statistics?.update(codebook) }

  /// Replaces codes that `replaceFrequency` training forwards left unused by random vectors of the batch,
  /// each moved by normal noise of standard deviation `0.01 |v| / sqrt(d)` an element.
  ///
  /// - Parameter vectors: those of each stage, [n, code size].
  func replaceUnused(_ counts: [Int32], _ vectors: [Tensor]) throws {
    guard options.replaceFrequency > 0 else { return }
    var expired: [Int] = []
    unusedSteps.mutateCodes {
      expired = countUnusedSteps(counts, $0, limit: options.replaceFrequency)
    }
    if expired.isEmpty { return }
    let pool =
      vectors.count == 1
      ? vectors[0].detached() : try Tensor.concatenate(vectors.map { $0.detached() }, axis: 0)
    let values = try generator.draw { try noisyPoints(pool, count: expired.count, $0) }
    try write(values, rows: expired)
  }
}
