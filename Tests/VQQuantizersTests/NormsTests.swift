import Testing
import VQTesting

@testable import VQQuantizers

@Suite struct NormsTests {
  // MARK: Clamped rows

  @Test func longRowsAreShortenedToTheMaximum() throws {
    let x = try Tensor([30, 40, 6, 8, 0, 0, 0.3, 0.1, 3e38, -3e38], shape: [5, 2])
    let root: Float = 7.0710678
    #expect(
      try x.clampedRows().values == [6, 8, 6, 8, 0, 0, 0.3, 0.1, root, -root])
    #expect(try x.clampedRows(maximum: 5).values[2...3] == [3, 4])
    #expect(try Tensor([], shape: [0, 3]).clampedRows().shape == [0, 3])
  }

  @Test(arguments: [1, 2, 11]) func clampedRowsGradient(width: Int) throws {
    // Rows of length about 1 and about 4: both branches, none within 2 steps of the border 2.
    let near = try gridSample([3, width], seed: 1, scale: 0.3 / Float(width).squareRoot())
    let far = try gridSample([3, width], seed: 2, mean: 4, scale: 0.1)
    let x = try Tensor(near.values + far.values, shape: [2, 3, width])
    try checkGradient(of: { try $0[0].clampedRows(maximum: 2) }, at: [x])
  }

  @Test func clampedRowsGradientByHand() throws {
    let x = try Tensor([30, 40, 3, 4], shape: [2, 2]).requiringGrad()
    try x.clampedRows(maximum: 5).backward(Tensor([1, 0, 1, 2], shape: [2, 2]))
    // 5 / 50 ([1, 0] - 0.6 [0.6, 0.8]), and g at the border.
    #expect(isClose(x.grad!.values, [0.064, -0.048, 1, 2], 1e-7))
  }

  // MARK: Standardized columns

  /// The definition in Float64.
  private func standardized(
    _ x: Tensor, _ offsets: [Int], epsilon: Double
  ) -> (values: [Float], mean: [Float], variance: [Float]) {
    let d = x.shape[1]
    let values = x.values.map(Double.init)
    var result = values
    var (means, variances): ([Double], [Double]) = ([], [])
    for (start, end) in zip(offsets, offsets.dropFirst()) {
      for column in 0..<d {
        let cells = (start..<end).map { $0 * d + column }
        let share = 1 / Double(max(cells.count, 1))
        let mean = cells.reduce(0) { $0 + values[$1] } * share
        let variance = cells.reduce(0) { $0 + (values[$1] - mean) * (values[$1] - mean) } * share
        for cell in cells {
          result[cell] = (values[cell] - mean) / (variance + epsilon).squareRoot()
        }
        means.append(mean)
        variances.append(variance)
      }
    }
    return (result.map(Float.init), means.map(Float.init), variances.map(Float.init))
  }

  @Test func columnsByHand() throws {
    let x = try Tensor([1, 0, 3, 0, 5, 8, 7, 16], shape: [4, 2])
    let (values, mean, variance) = try x.standardizedColumns(
      segments: [0, 2, 2, 4], epsilon: 1e-12)
    #expect(values.values == [-1, 0, 1, 0, -1, -1, 1, 1])
    #expect(mean.shape == [3, 2] && mean.values == [2, 0, 0, 0, 6, 12])
    #expect(variance.values == [1, 0, 0, 0, 1, 16])
    #expect(!mean.requiresGrad && !variance.requiresGrad)
    let one = try x.standardizedColumns().mean
    #expect(one.shape == [1, 2] && one.values == [4, 6])
  }

  @Test(arguments: [
    (1, 1, [0, 1]), (7, 3, [0, 0, 2, 7]), (5000, 5, [0, 4999, 5000]), (300, 130, [0, 300]),
  ])
  func columnsEqualTheirDefinition(n: Int, d: Int, offsets: [Int]) throws {
    let x = try sample([n, d], seed: 3, mean: 500)
    let found = try x.standardizedColumns(segments: offsets)
    let expected = standardized(x, offsets, epsilon: Double(Float(1e-5)))
    // Float64 throughout: the last rounding, and the order of at most 5000 Float64 terms.
    #expect(isClose(found.values.values, expected.values, 1e-6))
    #expect(isClose(found.mean.values, expected.mean, 1e-7))
    #expect(isClose(found.variance.values, expected.variance, 1e-6))
  }

  @Test(arguments: [[0, 6], [0, 2, 6], [0, 0, 3, 6], [0, 1, 6]])
  func columnsGradient(offsets: [Int]) throws {
    try checkGradient(
      of: {
        try $0[0].standardizedColumns(segments: offsets, epsilon: 0.5).values
      }, at: [gridSample([6, 3], seed: 4, mean: 2, scale: 2)], step: 0x1p-6)
  }

  @Test func columnsGradientEqualsTheComposition() throws {
    let x = try sample([600, 40], seed: 5, mean: 3)
    let weights = try sample([600, 40], seed: 6)
    let fused = try pullback([x], weights) { try $0[0].standardizedColumns().values }
    let plain = try pullback([x], weights) {
      let centered = try $0[0] - $0[0].mean(axes: [0], keepDims: true)
      return try centered / (centered.square().mean(axes: [0], keepDims: true) + 1e-5).sqrt()
    }
    // The plain side rounds its means of 600 terms to float32.
    #expect(isClose(fused[0].values, plain[0].values, 1e-6))
    #expect(isClose(fused[1].values, plain[1].values, 1e-6))
  }

  // MARK: Standardized groups

  @Test func groupsByHand() throws {
    let x = try Tensor([1, 3, 10, 50, 2, 2, 0, 1], shape: [2, 4])
    #expect(try x.standardizedGroups(2, epsilon: 1e-12).values == [-1, 1, -1, 1, 0, 0, -1, 1])
    #expect(try x.standardizedGroups(4).values == [Float](repeating: 0, count: 8))
    #expect(try Tensor([], shape: [0, 4]).standardizedGroups(2).shape == [0, 4])
  }

  @Test(arguments: [1, 2, 3]) func groupsEqualColumnsOfTheTransposedView(groups: Int) throws {
    let x = try sample([50, 12], seed: 7, mean: 20)
    let cells = try x.reshape([50 * groups, 12 / groups]).permute([1, 0])
    let expected = try cells.standardizedColumns().values.permute([1, 0]).values
    #expect(isClose(try x.standardizedGroups(groups).values, expected, 1e-6))
  }

  @Test(arguments: [1, 2, 6]) func groupsGradient(groups: Int) throws {
    try checkGradient(
      of: {
        try $0[0].standardizedGroups(groups, epsilon: 0.5)
      }, at: [gridSample([3, 6], seed: 8, mean: 1, scale: 2)], step: 0x1p-6)
  }

  // MARK: All

  @Test func sameForEveryThreadCount() throws {
    let x = try sample([3001, 33], seed: 9, mean: 5)
    let weights = try sample([3001, 33], seed: 10)
    try expectThreadIndependent {
      try pullback([x], weights) { try $0[0].clampedRows(maximum: 20) }
        + pullback([x], weights) {
          try $0[0].standardizedColumns(segments: [0, 1000, 3001]).values
        }
        + pullback([x], weights) { try $0[0].standardizedGroups(3) }
    }
  }

  @Test func refusals() throws {
    let x = try Tensor.ones([3, 4])
    #expect(
      errorText { try x.clampedRows(maximum: 0) }
        == "[clamped_rows] maximum = 0.0: must be finite and above 0")
    #expect(
      errorText { try Tensor.ones([]).clampedRows() }
        == "[clamped_rows] shape []: a last axis of at least one element is required")
    #expect(
      errorText { try Tensor.ones([3]).standardizedColumns() }
        == "[standardized_columns] shape [3]: x [n, d] with d at least 1 is required")
    #expect(
      errorText { try Tensor.ones([0, 3]).standardizedColumns() }
        == "[standardized_columns] shape [0, 3] has no elements: at least one row is required")
    #expect(
      errorText { try x.standardizedColumns(epsilon: 0) }
        == "[standardized_columns] epsilon = 0.0: must be finite and above 0")
    #expect(
      errorText { try x.standardizedColumns(segments: [0, 2]) }
        == "[standardized_columns] segments = 0...2: must begin with 0 and end with the number of rows, 3"
    )
    #expect(
      errorText { try x.standardizedColumns(segments: [0, 2, 1, 3]) }
        == "[standardized_columns] segments[2] = 1: must not be below the offset before it, 2")
    #expect(
      errorText { try x.standardizedGroups(3) }
        == "[standardized_groups] groups = 3: must divide the 4 channels")
    #expect(
      errorText { try Tensor(codes: [1], shape: [1, 1]).standardizedGroups(1) }
        == "[standardized_groups] dtype int32: float32 is required")
  }
}
