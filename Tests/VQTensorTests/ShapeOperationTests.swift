import Testing
import VQTesting

@testable import VQTensor

@Suite struct ShapeOperationTests {
  @Test func reshapeSharesTheStorage() throws {
    let x = try randomTensor([2, 6])
    let y = try x.reshape([3, -1])
    #expect(y.shape == [3, 4])
    #expect(y.storage === x.storage)
    #expect(try Tensor.zeros([0, 3]).reshape([0]).shape == [0])
    #expect(try Tensor.ones([]).reshape([1, 1]).shape == [1, 1])
    expectError("[reshape] shapes [2, 6] and [5, 2]: the number of elements must stay 12") {
      try x.reshape([5, 2])
    }
    expectError(
      "[reshape] shapes [2, 6] and [5, -1]: 12 elements do not divide among the given axes"
    ) {
      try x.reshape([5, -1])
    }
    expectError("[reshape] shape [-1, 2]: every axis must be at least 0") {
      try x.reshape([-1, -1, 2])
    }
    expectError(
      "[reshape] sizes [4611686018427387904, 4]: their product does not fit in memory"
    ) { try x.reshape([1 << 62, 4]) }
  }

  static let permutations: [([Int], [Int])] = [
    ([2, 3], [1, 0]), ([2, 3, 4], [2, 0, 1]), ([2, 3, 4], [0, 2, 1]),
    ([2, 3, 4, 5], [0, 2, 1, 3]),
    ([1, 4, 1], [2, 1, 0]), ([20, 30], [1, 0]), ([3, 17, 33], [0, 2, 1]),
    ([33, 17, 3], [2, 1, 0]),
    ([16, 2, 40], [2, 1, 0]), ([0, 3], [1, 0]), ([], []), ([9, 8, 7], [1, 2, 0]),
  ]

  @Test(arguments: permutations) func permuteEqualsReference(_ shape: [Int], _ axes: [Int]) throws {
    let x = try randomTensor(shape)
    let target = axes.map { shape[$0] }
    let reference = Reference(x)
    let expected = Reference.indices(target).map { index -> Float in
      var source = index
      for (position, axis) in axes.enumerated() { source[axis] = index[position] }
      return Float(reference[source])
    }
    let result = try x.permute(axes)
    #expect(result.shape == target)
    #expect(result.values == expected)
    #expect(
      try Tensor(codes: x.values.map { Int32($0 * 1024) }, shape: shape).permute(axes).codes
        == expected.map { Int32($0 * 1024) })
    if x.count > 0 && x.count < 100 { try checkGradient(of: { try $0[0].permute(axes) }, at: [x]) }
  }

  @Test func permuteRefusesRepeatedAxes() throws {
    let x = try Tensor.ones([2, 3])
    expectError("[permute] axes = [0, 0]: every axis of shape [2, 3] must appear once") {
      try x.permute([0, 0])
    }
    expectError("[permute] axes = [0]: every axis of shape [2, 3] must appear once") {
      try x.permute([0])
    }
    expectError("[permute] axis = 2: a tensor of rank 2 has axes -2..<2") { try x.permute([0, 2]) }
    expectError("[transpose] shape [3]: at least two axes are required") {
      try Tensor.ones([3]).transposed()
    }
    #expect(try randomTensor([2, 3, 4]).transposed().shape == [2, 4, 3])
  }

  static let slices: [(axis: Int, from: Int, to: Int, step: Int)] = [
    (0, 1, 3, 1), (1, 0, 4, 2), (2, 1, 5, 3), (-1, 4, 5, 1), (0, 2, 2, 1), (1, 0, 4, 9),
  ]

  @Test(arguments: slices)
  func sliceEqualsReference(_ axis: Int, _ from: Int, _ to: Int, _ step: Int) throws {
    let x = try randomTensor([3, 4, 5])
    let positive = axis < 0 ? axis + 3 : axis
    let taken = Array(stride(from: from, to: to, by: step))
    var target = x.shape
    target[positive] = taken.count
    let reference = Reference(x)
    let expected = Reference.indices(target).map { index -> Float in
      var source = index
      source[positive] = taken[index[positive]]
      return Float(reference[source])
    }
    let result = try x.slice(axis: axis, from: from, to: to, step: step)
    #expect(result.shape == target)
    #expect(result.values == expected)
    if result.count > 0 {
      try checkGradient(
        of: { try $0[0].slice(axis: axis, from: from, to: to, step: step) }, at: [x])
    }
  }

  @Test func sliceRefusesBadRanges() throws {
    let x = try Tensor.ones([2, 3])
    expectError("[slice] range = 1..<4: must lie in 0..<3, the size of axis 1") {
      try x.slice(axis: -1, from: 1, to: 4)
    }
    expectError("[slice] range = 2..<1: must lie in 0..<3, the size of axis 1") {
      try x.slice(axis: 1, from: 2, to: 1)
    }
    expectError("[slice] step = 0: must be at least 1") {
      try x.slice(axis: 1, from: 0, to: 1, step: 0)
    }
  }

  @Test func concatenateUndoesSlicing() throws {
    let x = try randomTensor([3, 4, 5])
    for axis in 0..<3 {
      let size = x.shape[axis]
      let parts = try [(0, 1), (1, 1), (1, size)].map {
        try x.slice(axis: axis, from: $0.0, to: $0.1)
      }
      #expect(try Tensor.concatenate(parts, axis: axis).values == x.values)
    }
    let codes = try Tensor(codes: [1, 2], shape: [2])
    #expect(try Tensor.concatenate([codes, codes], axis: 0).codes == [1, 2, 1, 2])
  }

  @Test func concatenateAndStackGradients() throws {
    let (a, b) = try (randomTensor([2, 3]), randomTensor([2, 2], seed: 2))
    try checkGradient(of: { try Tensor.concatenate($0, axis: 1) }, at: [a, b])
    try checkGradient(of: { try Tensor.stack([$0[0], $0[1], $0[0]], axis: 1) }, at: [a, a])
    let stacked = try Tensor.stack([a, a], axis: -1)
    #expect(stacked.shape == [2, 3, 2])
    #expect(stacked.values == a.values.flatMap { [$0, $0] })
  }

  @Test func concatenateRefusesWhatDoesNotFit() throws {
    let x = try Tensor.ones([2, 3])
    expectError("[concatenate] tensors = []: at least one is required") {
      try Tensor.concatenate([], axis: 0)
    }
    expectError("[concatenate] shapes [2, 3] and [2, 4]: all axes but axis 0 must be equal") {
      try Tensor.concatenate([x, Tensor.ones([2, 4])], axis: 0)
    }
    expectError("[concatenate] shapes [2, 3] and [3]: all axes but axis 0 must be equal") {
      try Tensor.concatenate([x, Tensor.ones([3])], axis: 0)
    }
    expectError("[concatenate] dtypes float32 and int32: they must be equal") {
      try Tensor.concatenate([x, Tensor(codes: [1], shape: [1, 1])], axis: 0)
    }
    expectError("[stack] tensors = []: at least one is required") { try Tensor.stack([], axis: 0) }
    expectError("[stack] shapes [2, 3] and [3, 2]: all shapes must be equal") {
      try Tensor.stack([x, Tensor.ones([3, 2])], axis: 0)
    }
  }
}
