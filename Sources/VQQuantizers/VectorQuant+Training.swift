import VQKernels
import VQNN
import VQTensor

/// What training forwards write: initialization, in-place steps, replacement.
extension VectorQuant {
  // MARK: Draws

  /// Draws from the generator whose state is a buffer, so that a checkpoint resumes it.
  private func drawing<Result>(_ body: (Generator) throws -> Result) rethrows -> Result {
    let generator = Generator(stateWords: generatorState.codes)
    defer {
      generatorState.mutateCodes { words in
        for (index, word) in generator.stateWords.enumerated() { words[index] = word }
      }
    }
    return try body(generator)
  }

  /// Writes raw codes whose affine image is `values` [m, d], and makes optimizers forget those rows.
  private func write(_ values: Tensor, rows: [Int]) {
    let groupSize = options.codeCount / options.affineGroups
    values.read { values in
      codebook.mutate { codebook in
        func write(_ scale: UnsafePointer<Float>?, _ bias: UnsafePointer<Float>?) {
          writeRawRows(
            values, rows: rows, width: options.featureSize, scale: scale, bias: bias,
            rate: options.affineLearningRate, groupSize: groupSize, codebook)
        }
        if let affineScale, let affineBias {
          affineScale.read { scale in affineBias.read { write(scale, $0) } }
        } else {
          write(nil, nil)
        }
      }
    }
    forgetGradient(of: rows)
    for observer in codebook.leaf?.rowObservers ?? [] { observer(rows) }
  }

  /// Zeroes what backward left on rows that are written anew.
  private func forgetGradient(of rows: [Int]) {
    guard let gradient = codebook.grad, let copy = try? gradient.copied() else { return }
    copy.mutate { clearRows($0, rows, columns: options.featureSize) }
    codebook.grad = copy
  }

  // MARK: Initialization

  /// Lloyd updates after k-means++.
  private static let initialUpdates = 10

  /// Sets the codebook by k-means on the first training vectors, when the options say so.
  func initializeCodebook(_ vectors: Tensor) throws {
    guard initialized.codes[0] == 0 else { return }
    let k = options.codeCount
    let result = try drawing { generator in
      try kmeans(
        vectors.detached(), k: k, iterations: VectorQuant.initialUpdates, initial: .plusPlus,
        generator: generator, operation: name, name: "z")
    }
    write(result.centroids, rows: Array(0..<k))
    initialized.mutateCodes { $0[0] = 1 }
  }

  // MARK: In-place steps

  /// Whether this training forward makes in-place steps; throws when it cannot.
  func checkInnerPhase(_ vectors: Tensor) throws -> Bool {
    guard let inplaceOptimizer else { return false }
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

  func advanceInnerPhase() {
    guard inplaceOptimizer != nil else { return }
    let next = Int(innerPhase.codes[0]) + 1
    innerPhase.mutateCodes { $0[0] = next >= options.outerSteps ? 0 : Int32(next) }
  }

  /// One step of the in-place optimizer for each contiguous part of `z` [n, d]: the gradient of
  /// `mse(sg z, z_q)` in C through the affine map and norm, added to what backward left on C.
  ///
  /// - Returns: the codes that each part had before its step, int32 [n].
  func innerSteps(_ z: Tensor) throws -> Tensor? {
    guard let inplaceOptimizer else { return nil }
    let (n, steps) = (z.shape[0], options.innerSteps)
    var codes: [Tensor] = []
    for step in 0..<steps {
      let part =
        steps == 1 ? z : try z.slice(axis: 0, from: step * n / steps, to: (step + 1) * n / steps)
      let before = codebook.grad
      do {
        try withGradients {
          let effective = try effectiveCodebook(
            codebook, affineScale?.detached(), affineBias?.detached())
          let found = try assign(part, effective, operation: name, names: ("z", "codebook"))
          let gradient = try codebookGradient(
            part, effective, CodeIndex(found, codeCount: options.codeCount),
            scale: 2 / Double(part.count))
          try effective.backward(gradient)
          try codebook.grad?.requireFinite(name, "the codebook's gradient")
          try takeStep(inplaceOptimizer)
          codes.append(found)
        }
      } catch {
        codebook.grad = before
        throw error
      }
      codebook.grad = nil
    }
    return steps == 1 ? codes[0] : try Tensor.concatenate(codes, axis: 0)
  }

  /// One step, undone when it leaves a code that is not finite.
  private func takeStep(_ optimizer: Optimizer) throws {
    let before = try codebook.copied()
    try optimizer.step()
    do {
      try codebook.requireFinite(name, "the codebook after the in-place step")
    } catch {
      try codebook.assign(before)
      throw error
    }
  }

  // MARK: Replacement

  /// Replaces codes that `replaceFrequency` training forwards left unused by random vectors of the batch,
  /// each moved by normal noise of standard deviation `0.01 |v| / sqrt(d)` an element.
  func replaceUnused(_ counts: [Int32], _ vectors: Tensor) throws {
    guard options.replaceFrequency > 0 else { return }
    var expired: [Int] = []
    unusedSteps.mutateCodes {
      expired = countUnusedSteps(counts, $0, limit: options.replaceFrequency)
    }
    if expired.isEmpty { return }
    let values = try drawing {
      try noisyPoints(vectors.detached(), count: expired.count, $0)
    }
    write(values, rows: expired)
  }
}
