import Testing
import VQTesting

@testable import VQTensor

@Suite struct UpsampleTests {
  @Test func handValue() throws {
    let x = try Tensor([1, 2, 3, 4], shape: [1, 1, 2, 2]).requiringGrad()
    let y = try x.upsampleNearest2d(scale: (2, 3))
    #expect(y.shape == [1, 2, 6, 2])
    #expect(y.values == [1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4, 1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4])
    try y.backward(Tensor.ones(y.shape))
    #expect(x.grad?.values == [6, 6, 6, 6])
  }

  @Test func placesAgreeWithTheDefinition() throws {
    let x = try randomTensor([3, 5, 4, 7], seed: 1, from: -1, to: 1)
    let (values, y) = (x.values, try x.upsampleNearest2d(scale: (3, 2)))
    var expected: [Double] = []
    for n in 0..<3 {
      for row in 0..<15 {
        for column in 0..<8 {
          for c in 0..<7 {
            expected.append(Double(values[((n * 5 + row / 3) * 4 + column / 2) * 7 + c]))
          }
        }
      }
    }
    expectClose(y, expected, relative: 0, absolute: 0)
  }

  @Test func centralDifferences() throws {
    try checkGradient(
      of: {
        try $0[0].upsampleNearest2d(scale: (2, 2))
      }, at: [randomTensor([2, 2, 3, 2], seed: 1, from: -1, to: 1)])
  }

  @Test func emptyAndScaleOne() throws {
    let empty = try Tensor.zeros([0, 2, 2, 3]).requiringGrad()
    let y = try empty.upsampleNearest2d(scale: (2, 2))
    #expect(y.shape == [0, 4, 4, 3])
    try y.backward(Tensor.zeros(y.shape))
    #expect(empty.grad?.shape == [0, 2, 2, 3])
    let x = try randomTensor([1, 2, 2, 1], seed: 1, from: -1, to: 1)
    #expect(try x.upsampleNearest2d(scale: (1, 1)).values == x.values)
  }

  @Test func errors() throws {
    expectError("[upsample_nearest2d] shape [2, 2]: the input must be [n, h, w, c]") {
      try Tensor.zeros([2, 2]).upsampleNearest2d(scale: (2, 2))
    }
    expectError("[upsample_nearest2d] scale = (0, 2): both factors must be at least 1") {
      try Tensor.zeros([1, 2, 2, 1]).upsampleNearest2d(scale: (0, 2))
    }
    expectError(
      "[upsample_nearest2d] sizes [1, 2, 2, 1, \(Int.max), 1]: their product does not fit in memory"
    ) { try Tensor.zeros([1, 2, 2, 1]).upsampleNearest2d(scale: (.max, 1)) }
  }
}
