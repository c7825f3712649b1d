import Glibc
import Testing
import VQTesting

@testable import VQTensor

@Suite struct SoftmaxTests {
  static let cases: [([Int], Int)] = [
    ([3], 0), ([2, 3], -1), ([2, 3], 0), ([2, 3, 4], 1), ([2, 1], 1), ([2, 40], 1), ([1, 600], 1),
  ]

  @Test(arguments: cases) func equalsReference(_ shape: [Int], _ axis: Int) throws {
    let x = try randomTensor(shape, from: -20, to: 20)
    let reference = Reference(x)
    let positive = axis < 0 ? axis + shape.count : axis
    let sums = Reference(
      shape: Shape.reduced(shape, over: [positive], keepDims: true),
      values: reference.groups([positive]).map { $0.reduce(0) { $0 + Glibc.exp($1) } })
    let expected = try reference.combined(sums) { Glibc.exp($0) / $1 }
    // The subtraction of the largest, up to 40, is exact to 2^-20 and moves e^x by as much.
    expectClose(try x.softmax(axis: axis), expected.values, relative: 0x1p-19)
    expectClose(
      try x.logSoftmax(axis: axis), expected.values.map { Glibc.log($0) }, relative: 0x1p-22,
      absolute: 0x1p-20)
  }

  @Test(arguments: cases.filter { $0.0.reduce(1, *) < 100 })
  func gradientsEqualDifferences(_ shape: [Int], _ axis: Int) throws {
    try checkGradient(of: { try $0[0].softmax(axis: axis) }, at: [randomTensor(shape)])
    try checkGradient(of: { try $0[0].logSoftmax(axis: axis) }, at: [randomTensor(shape)])
  }

  @Test func handValuesAndLargeNumbers() throws {
    #expect(try Tensor([1000, 1000], shape: [2]).softmax().values == [0.5, 0.5])
    #expect(try Tensor([-1000, 1000], shape: [2]).softmax().values == [0, 1])
    #expect(try Tensor([-1000, 1000], shape: [2]).logSoftmax().values == [-2000, 0])
    #expect(try Tensor([-.infinity, 3], shape: [2]).softmax().values == [0, 1])
    #expect(try Tensor([7], shape: [1]).softmax().values == [1])
  }

  @Test func emptyAxes() throws {
    #expect(try Tensor.ones([0, 3]).softmax().shape == [0, 3])
    #expect(try Tensor.ones([3, 0]).logSoftmax().shape == [3, 0])
    #expect(try Tensor.ones([3, 0]).softmax(axis: 0).shape == [3, 0])
  }

  @Test func refusesBadArguments() throws {
    expectError("[softmax] axis = 2: a tensor of rank 2 has axes -2..<2") {
      try Tensor.ones([2, 3]).softmax(axis: 2)
    }
    expectError("[log_softmax] dtype int32: float32 is required") {
      try Tensor(codes: [1], shape: [1]).logSoftmax()
    }
  }
}
