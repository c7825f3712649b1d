import Testing
import VQTesting

@testable import VQTensor

@Suite struct MatMulTests {
  static let shapes: [([Int], [Int])] = [
    ([2, 3], [3, 4]), ([1, 1], [1, 1]), ([2, 5, 3], [3, 4]), ([2, 5, 3], [2, 3, 4]),
    ([2, 1, 2, 3], [4, 3, 2]), ([3, 2], [4, 2, 5]), ([1, 2, 3], [5, 3, 1]), ([2, 0, 3], [3, 2]),
    ([2, 3, 0], [0, 2]), ([0, 2, 3], [3, 2]), ([2, 3], [0, 3, 2]),
  ]

  @Test(arguments: shapes) func equalsReference(_ a: [Int], _ b: [Int]) throws {
    let (x, y) = try (randomTensor(a), randomTensor(b, seed: 2))
    let expected = try Reference(x).product(Reference(y))
    let result = try x.matmul(y)
    #expect(result.shape == expected.shape)
    // k products of numbers below 2: k * 2^-24 * 4k.
    let k = Double(a.last!)
    expectClose(result, expected.values, relative: 0, absolute: 4 * k * k * 0x1p-24)
  }

  @Test(arguments: shapes.filter { $0.0.reduce(1, *) * $0.1.reduce(1, *) > 0 })
  func gradientsEqualDifferences(_ a: [Int], _ b: [Int]) throws {
    try checkGradient(
      of: { try $0[0].matmul($0[1]) }, at: [randomTensor(a), randomTensor(b, seed: 2)])
  }

  @Test func vectorsLoseTheirAxis() throws {
    let matrix = try Tensor([1, 2, 3, 4, 5, 6], shape: [2, 3])
    let (row, column) = try (Tensor([1, 2], shape: [2]), Tensor([1, 0, -1], shape: [3]))
    #expect(try row.matmul(matrix).values == [9, 12, 15])
    #expect(try row.matmul(matrix).shape == [3])
    #expect(try matrix.matmul(column).values == [-2, -2])
    #expect(try column.matmul(column).item() == 2)
    #expect(try column.matmul(column).shape == [])
    let batch = try Tensor.ones([4, 2, 3])
    #expect(try row.matmul(batch).shape == [4, 3])
    #expect(try batch.matmul(column).shape == [4, 2])
    try checkGradient(of: { try $0[0].matmul($0[1]) }, at: [row, matrix])
    try checkGradient(of: { try $0[0].matmul($0[1]) }, at: [matrix, column])
    try checkGradient(of: { try $0[0].matmul($0[1]) }, at: [column, column])
  }

  @Test func emptyInnerAxisGivesZeros() throws {
    let x = try Tensor.ones([2, 0]).requiringGrad()
    let y = try x.matmul(Tensor.ones([0, 3]))
    #expect(y.values == [0, 0, 0, 0, 0, 0])
    try y.sum().backward()
    #expect(x.grad!.shape == [2, 0])
  }

  @Test(arguments: [[16, 16, 16], [128, 96, 40]])
  func manyMatricesEqualOneByOne(_ sizes: [Int]) throws {
    let (m, k, n) = (sizes[0], sizes[1], sizes[2])
    let x = try Generator(seed: 1).normal([6, m, k])
    let y = try Generator(seed: 2).normal([6, k, n])
    let product = try x.matmul(y)
    for index in 0..<6 {
      let single = try x.slice(axis: 0, from: index, to: index + 1).reshape([m, k])
        .matmul(y.slice(axis: 0, from: index, to: index + 1).reshape([k, n]))
      let part = try product.slice(axis: 0, from: index, to: index + 1)
      // Other orders of summation: two errors of k * 2^-24 * sum(|x y|), at most 25 k.
      let bound = 2 * Double(k) * 0x1p-24 * 25 * Double(k)
      expectClose(part, single.values.map(Double.init), relative: 0, absolute: bound)
    }
  }

  @Test(arguments: [[5, 3], [2, 3, 3], [3], [0, 3], [4, 0]])
  func linearIsTheProductWithTheTransposed(_ shape: [Int]) throws {
    let x = try randomTensor(shape, seed: 1)
    let weight = try randomTensor([4, shape.last!], seed: 2)
    let bias = try randomTensor([4], seed: 3)
    let product = try x.matmul(weight.transposed())
    expectClose(
      try x.linear(weight), product.values.map(Double.init), relative: 0, absolute: 0x1p-18)
    let shifted = try product + bias
    expectClose(
      try x.linear(weight, bias: bias), shifted.values.map(Double.init), relative: 0,
      absolute: 0x1p-18)
    try checkGradient(
      of: { try $0[0].linear($0[1], bias: $0[2]) }, at: [x, weight, bias])
    try checkGradient(of: { try $0[0].linear($0[1]) }, at: [x, weight])
  }

  @Test func linearNamesWhatDoesNotFit() throws {
    let (x, weight) = (try Tensor.ones([2, 3]), try Tensor.ones([4, 5]))
    expectError(
      "[linear] shapes [2, 3] and [4, 5]: the input's last axis must have the 5 features that the "
        + "weight expects"
    ) { try x.linear(weight) }
    expectError("[linear] shape [3]: the weight must be [out, in]") {
      try x.linear(Tensor.ones([3]))
    }
    expectError("[linear] shapes [4, 3] and [2]: the bias must be [out]") {
      try x.linear(Tensor.ones([4, 3]), bias: Tensor.ones([2]))
    }
    expectError("[linear] dtypes float32 and int32: float32 is required") {
      try x.linear(Tensor(codes: [1, 2, 3], shape: [1, 3]))
    }
  }

  @Test func namesTheAxesThatDiffer() throws {
    let a = try Tensor.ones([2, 3])
    expectError("[matmul] shapes [2, 3] and [4, 5]: the inner axes must be equal, and 3 is not 4") {
      try a.matmul(Tensor.ones([4, 5]))
    }
    expectError("[matmul] shapes [2, 3] and [2]: the inner axes must be equal, and 3 is not 2") {
      try a.matmul(Tensor.ones([2]))
    }
    expectError("[matmul] shapes [] and [2, 3]: both must have at least one axis") {
      try Tensor.ones([]).matmul(a)
    }
    expectError(
      "[matmul] shapes [2, 4, 3] and [5, 3, 1]: the batch axes must be equal or 1 to broadcast"
    ) { try Tensor.ones([2, 4, 3]).matmul(Tensor.ones([5, 3, 1])) }
    expectError("[matmul] dtypes float32 and int32: float32 is required") {
      try a.matmul(Tensor(codes: [1, 2, 3], shape: [3]))
    }
  }
}
