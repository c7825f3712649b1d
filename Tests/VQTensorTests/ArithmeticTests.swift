import Testing
import VQTesting

@testable import VQTensor

@Suite struct ArithmeticTests {
  struct Operation: CustomTestStringConvertible, Sendable {
    let name: String
    let apply: @Sendable (Tensor, Tensor) throws -> Tensor
    let reference: @Sendable (Double, Double) -> Double
    var testDescription: String { name }
  }

  static let operations = [
    Operation(name: "add", apply: { try $0 + $1 }, reference: { $0 + $1 }),
    Operation(name: "subtract", apply: { try $0 - $1 }, reference: { $0 - $1 }),
    Operation(name: "multiply", apply: { try $0 * $1 }, reference: { $0 * $1 }),
    Operation(name: "divide", apply: { try $0 / $1 }, reference: { $0 / $1 }),
    Operation(name: "maximum", apply: { try Tensor.maximum($0, $1) }, reference: { max($0, $1) }),
    Operation(name: "minimum", apply: { try Tensor.minimum($0, $1) }, reference: { min($0, $1) }),
  ]

  static let shapes: [([Int], [Int])] = [
    ([2, 3], [2, 3]), ([2, 3], [3]), ([3], [2, 3]), ([2, 3], [2, 1]), ([2, 3], []),
    ([2, 1, 4], [3, 1]), ([2, 3, 4], [2, 1, 4]), ([1, 1], [1]), ([5, 1, 2], [1, 3, 2]),
  ]

  /// Away from 0 and from each other, so that quotients and extremes are smooth near them.
  static func operands(_ shapes: ([Int], [Int])) throws -> (Tensor, Tensor) {
    (
      try randomTensor(shapes.0, seed: 3, from: 1, to: 2),
      try randomTensor(shapes.1, seed: 4, from: 2.25, to: 3)
    )
  }

  @Test(arguments: operations, shapes)
  func equalsFloat64Reference(_ operation: Operation, _ shapes: ([Int], [Int])) throws {
    let (a, b) = try Self.operands(shapes)
    let result = try operation.apply(a, b)
    let expected = try Reference(a).combined(Reference(b), operation.reference)
    #expect(result.shape == expected.shape)
    expectClose(result, expected.values, relative: 0x1p-24)
  }

  @Test(arguments: operations, shapes)
  func gradientEqualsDifferences(_ operation: Operation, _ shapes: ([Int], [Int])) throws {
    let (a, b) = try Self.operands(shapes)
    try checkGradient(of: { try operation.apply($0[0], $0[1]) }, at: [a, b])
  }

  @Test(arguments: operations) func namesBothShapes(_ operation: Operation) throws {
    let (a, b) = try (Tensor.ones([2, 3]), Tensor.ones([2, 4]))
    expectError(
      "[\(operation.name)] shapes [2, 3] and [2, 4]: axes must be equal or 1 to broadcast, and 3 is not 4"
    ) { try operation.apply(a, b) }
    expectError(
      "[\(operation.name)] shapes [2, 3] and [2]: axes must be equal or 1 to broadcast, and 3 is not 2"
    ) { try operation.apply(a, Tensor(codes: [1, 2], shape: [2])) }
  }

  @Test(arguments: operations) func takesIntegersThatFloat32Holds(_ operation: Operation) throws {
    let a = try Tensor([1.5, -2, 7], shape: [3])
    let codes = try Tensor(codes: [3, -8, 1 << 24], shape: [3])
    let result = try operation.apply(a, codes)
    #expect(result.dtype == .float32)
    expectClose(
      result, zip(a.values, codes.codes).map { operation.reference(Double($0), Double($1)) },
      relative: 0x1p-24)
    expectError(
      "[\(operation.name)] element 1 = 16777217: float32 would round it: convert with astype, or keep "
        + "both operands integers"
    ) { try operation.apply(a, Tensor(codes: [1, 1 << 24 + 1, 1], shape: [3])) }
  }

  @Test(arguments: operations) func keepsEmptyAxes(_ operation: Operation) throws {
    let result = try operation.apply(Tensor.ones([0, 3]), Tensor.ones([3]))
    #expect(result.shape == [0, 3])
    #expect(try operation.apply(Tensor.ones([0, 1]), Tensor.ones([1, 2])).shape == [0, 2])
  }

  @Test func productRule() throws {
    let a = try Tensor([1, 2, 3, 4], shape: [2, 2]).requiringGrad()
    let b = try Tensor([5, 6], shape: [2]).requiringGrad()
    try (a * b + a).backward(Tensor.ones([2, 2]))
    #expect(a.grad!.values == [6, 7, 6, 7])
    #expect(b.grad!.values == [4, 6])
  }

  @Test func equalElementsShareTheGradientOfTheMaximum() throws {
    let a = try Tensor([1, 2, 3], shape: [3]).requiringGrad()
    let b = try Tensor([2, 2, 2], shape: [3]).requiringGrad()
    try Tensor.maximum(a, b).sum().backward()
    #expect(a.grad!.values == [0, 0.5, 1])
    #expect(b.grad!.values == [1, 0.5, 0])
  }

  @Test func notANumberWinsTheMaximum() throws {
    let a = try Tensor([.nan, 1], shape: [2])
    let b = try Tensor([1, .nan], shape: [2])
    #expect(try Tensor.maximum(a, b).values.allSatisfy(\.isNaN))
    #expect(try Tensor.minimum(a, b).values.allSatisfy(\.isNaN))
  }

  @Test func broadcastRepeatsAndItsPullbackSums() throws {
    let a = try Tensor([1, 2], shape: [2, 1]).requiringGrad()
    let wide = try a.broadcast(to: [3, 2, 2])
    #expect(wide.values == [1, 1, 2, 2, 1, 1, 2, 2, 1, 1, 2, 2])
    try wide.backward(Tensor.ones([3, 2, 2]))
    #expect(a.grad!.values == [6, 6])
    expectError("[broadcast_to] shapes [2, 1] and [3]: the first must broadcast to the second") {
      try a.broadcast(to: [3])
    }
  }
}
