import Testing
import VQTesting

@testable import VQTensor

@Suite struct ReduceTests {
  static let cases: [(shape: [Int], axes: [Int])] = [
    ([6], [0]), ([2, 3], [0]), ([2, 3], [1]), ([2, 3], [0, 1]), ([2, 3, 4], [1]),
    ([2, 3, 4], [0, 2]), ([2, 3, 4], [1, 2]), ([3, 1, 2], [1]), ([1, 1], [0, 1]),
    ([70, 3], [0]), ([40, 20], [0]), ([3, 50], [1]), ([], []), ([2, 2, 2, 3], [0, 2]),
  ]

  @Test(arguments: cases) func sumEqualsReference(_ shape: [Int], _ axes: [Int]) throws {
    let x = try randomTensor(shape)
    let groups = Reference(x).groups(axes)
    // Partial sums of at most 32 numbers below 2 are off by 32 * 2^-24 * their magnitude.
    let magnitude = groups.map { $0.reduce(0) { $0 + Swift.abs($1) } }.max()!
    let bound = 33 * 0x1p-24 * magnitude
    expectClose(
      try x.sum(axes: axes), groups.map { $0.reduce(0, +) }, relative: 0, absolute: bound)
    expectClose(
      try x.mean(axes: axes), groups.map { $0.reduce(0, +) / Double($0.count) }, relative: 0,
      absolute: bound)
    #expect(
      try x.sum(axes: axes, keepDims: true).shape
        == shape.indices.map { axes.contains($0) ? 1 : shape[$0] })
  }

  @Test(arguments: cases) func extremesEqualReference(_ shape: [Int], _ axes: [Int]) throws {
    let x = try randomTensor(shape)
    let groups = Reference(x).groups(axes)
    #expect(try x.max(axes: axes).values == groups.map { Float($0.max()!) })
    #expect(try x.min(axes: axes).values == groups.map { Float($0.min()!) })
  }

  @Test(arguments: cases.filter { $0.axes.count > 0 && $0.shape.reduce(1, *) <= 30 })
  func gradientsEqualDifferences(_ shape: [Int], _ axes: [Int]) throws {
    let count = shape.reduce(1, *)
    // Distinct by an eighth, twice the reach of the differences.
    let x = try Tensor((0..<count).map { Float($0 * 7 % count) / 8 }, shape: shape)
    try checkGradient(of: { try $0[0].sum(axes: axes) }, at: [x])
    try checkGradient(of: { try $0[0].mean(axes: axes, keepDims: true) }, at: [x])
    try checkGradient(of: { try $0[0].max(axes: axes) }, at: [x], step: 0x1p-6)
    try checkGradient(of: { try $0[0].min(axes: axes) }, at: [x], step: 0x1p-6)
    try checkGradient(of: { try $0[0].variance(axes: axes, unbiased: false) }, at: [x])
  }

  @Test func handValues() throws {
    let x = try Tensor([1, 2, 3, 4, 5, 9], shape: [2, 3])
    #expect(try x.sum().item() == 24)
    #expect(try x.sum(axes: [0]).values == [5, 7, 12])
    #expect(try x.mean(axes: [-1]).values == [2, 6])
    #expect(try x.variance(axes: [1]).values == [1, 7])
    #expect(try x.variance(axes: [1], unbiased: false).values == [Float(2.0 / 3), Float(14.0 / 3)])
    #expect(try x.argmax(axis: 0).codes == [1, 1, 1])
    #expect(try x.argmax(axis: 1).codes == [2, 2])
  }

  @Test func tenMillionElementsKeepTheirAccuracy() throws {
    let count = 10_000_000
    // Ones and a tenth: a running float32 sum would stall at 2^24 and drift before.
    let x = try Tensor.full([count], 0.1)
    let exact = Double(Float(0.1)) * Double(count)
    #expect(Swift.abs(Double(try x.sum().item()) - exact) <= 16 * 0x1p-24 * exact)
    let columns = try x.reshape([count / 5, 5]).sum(axes: [0])
    expectClose(columns, [Double](repeating: exact / 5, count: 5), relative: 32 * 0x1p-24)
  }

  @Test func emptyAxes() throws {
    #expect(try Tensor.zeros([0, 2]).sum().item() == 0)
    #expect(try Tensor.zeros([0, 2]).sum(axes: [0]).values == [0, 0])
    #expect(try Tensor.zeros([0, 2]).sum(axes: [1]).shape == [0])
    #expect(try Tensor.zeros([0, 2]).mean(axes: [1]).shape == [0])
    #expect(try Tensor.zeros([0, 2]).max(axes: [1]).shape == [0])
    let empty = try Tensor.zeros([0, 2])
    for (name, body) in [
      ("mean", { try empty.mean(axes: [0]) }), ("max", { try empty.max(axes: [0]) }),
      ("min", { try empty.min(axes: [0]) }), ("variance", { try empty.variance(axes: [0]) }),
      ("argmax", { try empty.argmax(axis: 0) }),
    ] as [(String, () throws -> Tensor)] {
      expectError(
        "[\(name)] shape [0, 2] has no elements: at least one element is required along axes [0]",
        body)
    }
  }

  @Test func badAxes() throws {
    let x = try Tensor.ones([2, 3])
    expectError("[sum] axis = 2: a tensor of rank 2 has axes -2..<2") { try x.sum(axes: [2]) }
    expectError("[max] axes = [0, -2]: axis 0 appears twice") { try x.max(axes: [0, -2]) }
    expectError("[argmax] axis = -3: a tensor of rank 2 has axes -2..<2") { try x.argmax(axis: -3) }
    expectError("[variance] dtype int32: float32 is required") {
      try Tensor(codes: [1, 2], shape: [2]).variance()
    }
    expectError(
      "[variance] shape [2, 1]: the unbiased estimate needs at least 2 elements along axes [1]"
    ) { try Tensor.ones([2, 1]).variance(axes: [1]) }
  }

  @Test func gradientOfTheMaximumGoesToTheFirst() throws {
    let x = try Tensor([1, 3, 3, 3, 0, 3], shape: [2, 3]).requiringGrad()
    try x.max().backward()
    #expect(x.grad!.values == [0, 1, 0, 0, 0, 0])
    x.grad = nil
    try x.max(axes: [0]).sum().backward()
    #expect(x.grad!.values == [0, 1, 1, 1, 0, 0])
  }

  @Test(arguments: [[3], [40], [3, 2], [40, 20]]) func notANumberWins(_ shape: [Int]) throws {
    var values = [Float](repeating: 1, count: shape.reduce(1, *))
    values[values.count - 2] = .nan
    let x = try Tensor(values, shape: shape)
    #expect(try x.max().item().isNaN)
    #expect(try x.min().item().isNaN)
    #expect(try x.max(axes: [0]).values.contains(where: \.isNaN))
    #expect(try x.argmax(axis: 0).codes.contains(Int32(shape[0] - (shape.count == 1 ? 2 : 1))))
  }

  @Test func sameBitsForEveryThreadCount() throws {
    let x = try Generator(seed: 5).normal([300, 1000])
    try expectThreadIndependent { try x.sum() }
    try expectThreadIndependent { try x.sum(axes: [0]) }
    try expectThreadIndependent { try x.sum(axes: [1]) }
    try expectThreadIndependent { try x.reshape([100_000, 3]).sum(axes: [0]) }
    try expectThreadIndependent { try x.argmax(axis: 1) }
  }
}
