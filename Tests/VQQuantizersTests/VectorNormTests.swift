import Testing
import VQTesting

@testable import VQQuantizers

/// The norms of vectors and codebooks in the layer.
@Suite struct VectorNormTests {
  private func layer(
    norm: VectorNorm = .none, codebookNorm: VectorNorm = .none,
    _ change: (inout VectorQuantOptions) -> Void = { _ in }
  ) throws -> VectorQuant {
    var options = VectorQuantOptions(featureSize: 4, codeCount: 6)
    (options.norm, options.codebookNorm) = (norm, codebookNorm)
    if [norm, codebookNorm].contains(.group) { options.normGroups = 2 }
    if [norm, codebookNorm].contains(.l2c) { options.maximumNorm = 1.5 }
    change(&options)
    return try VectorQuant(options)
  }

  /// `(x - mean) / sqrt(variance + 1e-5)` of the elements at `indices`, in Float64.
  private func standardized(_ x: [Float], _ sets: [[Int]]) -> [Float] {
    var result = x
    for indices in sets {
      let values = indices.map { Double(x[$0]) }
      let mean = values.reduce(0, +) / Double(values.count)
      let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)
      for (index, value) in zip(indices, values) {
        result[index] = Float((value - mean) / (variance + 1e-5).squareRoot())
      }
    }
    return result
  }

  // MARK: Batch norm

  /// PyTorch's: momentum 0.1, the running variance unbiased, batch moments in training, running
  /// ones later.
  @Test func batchNormRunsAsPyTorch() throws {
    let layer = try layer(norm: .batch)
    var (mean, variance) = ([Double](repeating: 0, count: 4), [Double](repeating: 1, count: 4))
    for step in 0..<3 {
      let z = try sample([3, 5, 4], seed: UInt64(step), mean: 3, scale: 2)
      let columns = (0..<4).map { l in (0..<15).map { $0 * 4 + l } }
      let result = try layer.quantize(z)
      #expect(isClose(result.z.values, standardized(z.values, columns), 1e-5))
      for (l, column) in columns.enumerated() {
        let values = column.map { Double(z.values[$0]) }
        let own = values.reduce(0, +) / 15
        let unbiased = values.reduce(0) { $0 + ($1 - own) * ($1 - own) } / 14
        mean[l] = 0.9 * mean[l] + 0.1 * own
        variance[l] = 0.9 * variance[l] + 0.1 * unbiased
      }
    }
    let running = Dictionary(
      uniqueKeysWithValues: layer.namedBuffers.map { ($0.name, $0.tensor.values) })
    #expect(isClose(running["norm.running_mean"]!, mean.map(Float.init), 1e-6))
    #expect(isClose(running["norm.running_var"]!, variance.map(Float.init), 1e-6))

    layer.isTraining = false
    let before = layer.snapshot
    let z = try sample([1, 4], seed: 9)
    let expected = (0..<4).map {
      Float((Double(z.values[$0]) - mean[$0]) / (variance[$0] + 1e-5).squareRoot())
    }
    #expect(isClose(try layer.quantize(z).z.values, expected, 1e-5))
    #expect(layer.snapshot == before)
  }

  @Test func encodingMovesNoRunningMoments() throws {
    let layer = try layer(norm: .batch)
    let before = layer.snapshot
    let z = try sample([9, 4], seed: 1)
    let codes = try layer.encode(z).codes
    try layer.fit(z, iterations: 0)
    layer.isQuantizing = false
    #expect(try layer.quantize(z).zq.shape == [9, 4])
    let moved = zip(before, layer.snapshot).filter { $0 != $1 }.map(\.0)
    #expect(moved.allSatisfy { !$0.contains("running") })
    #expect(codes.count == 9)
  }

  /// A variance above the largest float32 would stay in the running moments for good.
  @Test func refusesMomentsThatOverflow() throws {
    let layer = try layer(norm: .batch)
    let before = layer.snapshot
    #expect(
      errorText { try layer.quantize(sample([9, 4], seed: 1, scale: 1e25)) }
        == "[vector_quant] running_var holds inf at flat index 0: every element must be finite")
    #expect(layer.snapshot == before)
  }

  @Test func batchNormNeedsTwoVectors() throws {
    let layer = try layer(norm: .batch)
    #expect(
      errorText { try layer.quantize(.ones([1, 4])) }
        == "[vector_quant] shape [1, 4]: batch norm in training needs two vectors")
    layer.isTraining = false
    #expect(try layer.quantize(.ones([1, 4])).q.count == 1)
  }

  // MARK: Instance and group norm

  @Test(arguments: [false, true]) func instanceNormIsThatOfASample(isMasked: Bool) throws {
    let layer = try layer(norm: .instance)
    let z = try sample([2, 2, 3, 4], seed: 2, mean: 5)
    var kept = [Int32](repeating: 1, count: 12)
    if isMasked { (kept[1], kept[4], kept[8]) = (0, 0, 0) }
    var sets: [[Int]] = []
    for image in 0..<2 {
      let rows = (image * 6..<image * 6 + 6).filter { kept[$0] == 1 }
      for l in 0..<4 { sets.append(rows.map { $0 * 4 + l }) }
    }
    var expected = standardized(z.values, sets)
    for (position, flag) in kept.enumerated() where flag == 0 {
      for l in 0..<4 { expected[position * 4 + l] = 0 }
    }
    let mask = isMasked ? try Tensor(codes: kept, shape: [2, 2, 3]) : nil
    let result = try layer.quantize(z, mask: mask)
    #expect(isClose(result.z.values, expected, 1e-5))
    layer.isTraining = false
    #expect(isClose(try layer.quantize(z, mask: mask).z.values, expected, 1e-5))
    #expect(
      errorText { try layer.quantize(.ones([3, 4])) }
        == "[vector_quant] shape [3]: statistics of a sample need an axis of positions: "
        + "z must be [samples, positions..., d]")
  }

  @Test func groupNormIsThatOfAVector() throws {
    let layer = try layer(norm: .group)
    let z = try sample([5, 4], seed: 3)
    let sets = (0..<10).map { [2 * $0, 2 * $0 + 1] }
    #expect(isClose(try layer.quantize(z).z.values, standardized(z.values, sets), 1e-5))
    #expect(
      errorText { try self.layer(norm: .group) { $0.normGroups = 3 } }
        == "[vector_quant] norm_groups = 3: must be at least 1 and divide the 4 elements of a code"
    )
  }

  @Test func clampedNormShortensLongVectors() throws {
    let layer = try layer(norm: .l2c, codebookNorm: .l2c)
    let z = try Tensor([3, 0, 0, 4, 0.3, 0, 0, 0.4], shape: [2, 4])
    #expect(isClose(try layer.quantize(z).z.values, [0.9, 0, 0, 1.2, 0.3, 0, 0, 0.4], 1e-6))
    for row in 0..<6 {
      let length = try layer.effectiveCodebook().values[row * 4..<row * 4 + 4]
        .reduce(0) { $0 + $1 * $1 }.squareRoot()
      let raw = layer.codebook.values[row * 4..<row * 4 + 4]
        .reduce(0) { $0 + $1 * $1 }.squareRoot()
      #expect(abs(length - min(raw, 1.5)) < 1e-6)
    }
  }

  /// Norms of channels standardize the codebook over its codes.
  @Test(arguments: [VectorNorm.batch, .instance]) func codebookNormOfChannels(norm: VectorNorm)
    throws
  {
    let layer = try layer(codebookNorm: norm)
    let columns = (0..<4).map { l in (0..<6).map { $0 * 4 + l } }
    let expected = standardized(layer.codebook.values, columns)
    #expect(isClose(try layer.effectiveCodebook().values, expected, 1e-6))
  }

  // MARK: All

  static let norms: [VectorNorm] = [.none, .l2, .l2c, .batch, .group, .instance]

  @Test(arguments: norms, norms) func evaluationDecodesItsCodes(norm: VectorNorm, own: VectorNorm)
    throws
  {
    let layer = try layer(norm: norm, codebookNorm: own) { $0.start = .kMeans }
    let z = try sample([4, 10, 4], seed: 4, mean: 2)
    for _ in 0..<2 {
      let result = try layer.quantize(z)
      try (result.zq.sum() + result.loss).backward()
      #expect(layer.codebook.grad!.values.allSatisfy { $0.isFinite })
    }
    layer.isTraining = false
    let result = try layer.quantize(z)
    #expect(try layer.encode(z).codes == result.q.codes)
    #expect(try layer.decode(result.q).values == result.zq.values)
  }

  /// With codes fixed the loss is smooth in z and, at beta 1, in C.
  @Test(arguments: norms) func gradientsGoThroughTheNorms(norm: VectorNorm) throws {
    let z = try gridSample([2, 3, 4], seed: 5, mean: 1)
    for beta in [Float(0), 1] {
      let layer = try layer(norm: norm, codebookNorm: norm) { $0.beta = beta }
      layer.codebook.setValues(try gridSample([6, 4], seed: 6, mean: 1).values)
      layer.isTraining = false
      if norm == .batch { layer.isTraining = true }
      let codes = try layer.quantize(z).q.codes
      func loss(_ z: Tensor, _ codebook: Tensor) throws -> Tensor {
        layer.codebook.setValues(codebook.values)
        let result = try layer.quantize(z)
        #expect(result.q.codes == codes)
        return result.loss
      }
      let start = try layer.codebook.copied()
      let leaf = try z.requiringGrad()
      layer.codebook.grad = nil
      try loss(leaf, start).backward()
      let slope =
        beta == 0
        ? try centralDifferences(z, step: 0x1p-8) { try Double(loss($0, start).item()) }
        : try centralDifferences(start, step: 0x1p-8) { try Double(loss(z, $0).item()) }
      let found = beta == 0 ? leaf.grad : layer.codebook.grad
      // step^2 / 6 of third derivatives, and float32 losses of about 2: 2^-23 / 2^-7.
      #expect(isClose(found!.values, slope, 3e-4), "beta \(beta)")
    }
  }
}
