import VQKernels
import VQNN
import VQTensor

/// The way from the raw codebook C to the effective E, and back.
extension VectorQuant {
  /// Whether the caller's loss trains C: otherwise an in-place optimizer, statistics or nothing does.
  var trainsCodebook: Bool {
    !isFrozen && inplaceOptimizer == nil && statistics == nil && transform == nil
  }

  /// The codebook that vectors are compared with, [k, code size]: after the affine or linear map and the
  /// norm. Its gradient reaches what the caller's loss trains: C unless an in-place optimizer or statistics
  /// move it, the map unless all is frozen.
  public func effectiveCodebook() throws -> Tensor {
    try effectiveCodebook(
      trainsCodebook ? codebook : codebook.detached(), mapIsTrained: !isFrozen)
  }

  /// The effective codebook without gradient, kept until what it is made of changes: for one vector, making it
  /// takes longer than the search.
  func codebookToRead() throws -> Tensor {
    let map = ownParameters.dropFirst().map(\.tensor) + (moments?.buffers ?? []).map(\.tensor)
    if map.isEmpty && options.codebookNorm == .none { return codebook.detached() }
    let versions = ([codebook] + map).map(\.storage.version)
    if let kept = readCodebook, kept.versions == versions { return kept.codebook }
    let made = try withoutGradients { try effectiveCodebook().detached() }
    readCodebook = (versions, made)
    return made
  }

  /// `norm(scale C + bias)` or `norm(C W)` of a copy of `codebook`, so that later writes leave the tape
  /// valid.
  func effectiveCodebook(_ codebook: Tensor, mapIsTrained: Bool) throws -> Tensor {
    try mappedCodebook(codebook, mapIsTrained: mapIsTrained)
      .normalizedRows(options.codebookNorm, options)
  }

  /// The same before the norm.
  private func mappedCodebook(_ codebook: Tensor, mapIsTrained: Bool) throws -> Tensor {
    var result = try codebook.recordedCopy()
    if let transform {
      result = try result.matmul(mapIsTrained ? transform : transform.detached())
    } else if let map = try affineMap(isTrained: mapIsTrained) {
      let (groups, k, d) = (options.affineGroups, options.codeCount, options.width)
      let factor = try map.factor.reshape([groups, 1, d])
      let offset = try map.offset.reshape([groups, 1, d])
      result = try (result.reshape([groups, k / groups, d]) * factor + offset).reshape([k, d])
    }
    return result
  }

  /// Scale and bias [groups, code size] of the affine map; nil for the identity.
  func affineMap(isTrained: Bool) throws -> (factor: Tensor, offset: Tensor)? {
    if let moments { return try moments.map() }
    guard let affineScale, let affineBias else { return nil }
    let rate = options.affineLearningRate
    let scale = isTrained ? affineScale : affineScale.detached()
    let bias = isTrained ? affineBias : affineBias.detached()
    return (try scale * rate + 1, try bias * rate)
  }

  /// The effective codebook twice: for the gradient of the output and for that of the loss.
  ///
  /// With an in-place optimizer the loss reaches the affine map alone, and C takes the output's gradient, in
  /// training only: what evaluation left on C, the next training forward would step by.
  func codebooks() throws -> (synchronized: Tensor, compared: Tensor) {
    let compared = try effectiveCodebook()
    let isWaiting = isLearning && inplaceOptimizer != nil && options.valueRate > 0
    guard isWaiting else { return (compared, compared) }
    return (try effectiveCodebook(codebook, mapIsTrained: true), compared)
  }

  /// Writes raw codes whose effective image is `values` [m, code size], but for norms of single codes and,
  /// where all codes are written, the norm of channels; makes optimizers and statistics forget those rows.
  ///
  /// - Parameter weights: of the rows in an EMA codebook, 1 each unless given.
  func write(_ values: Tensor, rows: [Int], weights: [Float]? = nil) throws {
    let isOverCodes = options.codebookNorm == .batch || options.codebookNorm == .instance
    var raw = isOverCodes && rows.count < codeCount ? try beforeNorm(values) : values
    if let transform {
      // With a singular W no raw code has that image: the codes stay.
      guard let solved = try solveRows(raw, transform) else { return }
      raw = solved
    }
    let map = try withoutGradients { try affineMap(isTrained: false) }
    raw.read { raw in
      codebook.mutate { codebook in
        readMap(map) { factor, offset in
          writeRawRows(
            raw, rows: rows, width: options.width, factor: factor, offset: offset,
            groupSize: options.codeCount / options.affineGroups, codebook)
        }
      }
    }
    forgetGradient(of: rows)
    statistics?.restart(
      rows, weights: weights ?? [Float](repeating: 1, count: rows.count), from: codebook)
    codebook.leaf?.announce(rows: rows)
  }

  /// Rows of the codebook whose standardization over the present codes is `values`.
  private func beforeNorm(_ values: Tensor) throws -> Tensor {
    try withoutGradients {
      let mapped = try mappedCodebook(codebook, mapIsTrained: false)
      let moments = try mapped.standardizedColumns()
      return try values * (moments.variance + 1e-5).sqrt() + moments.mean
    }
  }

  /// Zeroes what backward left on rows that are written anew.
  func forgetGradient(of rows: [Int]) {
    guard let gradient = codebook.grad, let copy = try? gradient.copied() else { return }
    copy.mutate { clearRows($0, rows, columns: options.width) }
    codebook.grad = copy
  }
}
