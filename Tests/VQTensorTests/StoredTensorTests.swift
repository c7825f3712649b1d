import Testing
import VQTesting

@testable import VQTensor

@Suite struct StoredTensorTests {
  static let halves: [DType] = [.float16, .bfloat16]
  /// Ties, denormal and huge numbers among them.
  private static let numbers: [Float] = [
    0, -0.0, 1, -1.5, 0.1, 1 + 0x1p-11, 1 + 0x3p-11, 1 + 0x1p-8, 1 + 0x3p-8, 65504, 65519, 65520,
    -70000, 0x1p-24, 0x1.8p-25, 0x1p-25, 3e38, .greatestFiniteMagnitude, .infinity,
  ]

  /// Rounded by Swift's Float16, or by the exponent of the unit in the last place.
  private static func rounded(_ x: Float, to dtype: DType) -> Float {
    if dtype == .float16 { return Float(Float16(x)) }
    guard x.isFinite, x != 0 else { return x }
    let unit = Double(sign: .plus, exponent: Int(x.exponent) - 7, significand: 1)
    let nearest = (Double(x) / unit).rounded(.toNearestOrEven) * unit
    return abs(nearest) > 0x1.FEp127 ? (x < 0 ? -.infinity : .infinity) : Float(nearest)
  }

  @Test(arguments: halves) func narrowedIsTheNearest(_ dtype: DType) throws {
    let x = try Tensor(Self.numbers, shape: [Self.numbers.count])
    let half = try x.narrowed(to: dtype)
    #expect(half.dtype == dtype && half.byteCount == 2 * x.count)
    let expected = Self.numbers.map { Self.rounded($0, to: dtype) }
    #expect(try half.widened().values == expected)
    #expect(try half.widened().narrowed(to: dtype).widened().values == expected)
  }

  @Test(arguments: halves) func gradientsPassUnchanged(_ dtype: DType) throws {
    let x = try Tensor([0.1, 2.3], shape: [2]).requiringGrad()
    let y = try x.narrowed(to: dtype)
    #expect(y.requiresGrad && !y.detached().requiresGrad)
    try (y.widened() * Tensor([3, -5], shape: [2])).sum().backward()
    #expect(x.grad?.values == [3, -5])
  }

  @Test(arguments: halves) func partsAreThoseOfTheWidened(_ dtype: DType) throws {
    let half = try randomTensor([5, 3, 2]).narrowed(to: dtype)
    let whole = try half.widened()
    for (axis, from, to, step) in [(0, 1, 4, 1), (0, 0, 5, 2), (-3, 2, 2, 1), (1, 0, 3, 2)] {
      let part = try half.widenedSlice(axis: axis, from: from, to: to, step: step)
      let expected = try whole.slice(axis: axis, from: from, to: to, step: step)
      #expect(part.shape == expected.shape && part.values == expected.values)
    }
    for (axis, places) in [(0, [4, 0, 4]), (-3, []), (2, [1, 1, 0])] {
      let positions = try Tensor(codes: places.map(Int32.init), shape: [places.count])
      let part = try half.widenedTake(positions, axis: axis)
      let expected = try whole.take(positions, axis: axis)
      #expect(part.shape == expected.shape && part.values == expected.values)
    }
    #expect(
      errorText { try half.widenedSlice(axis: 0, from: 3, to: 9, step: 1) }
        == errorText { try whole.slice(axis: 0, from: 3, to: 9, step: 1) })
    let beyond = try Tensor(codes: [5], shape: [1])
    #expect(
      errorText { try half.widenedTake(beyond, axis: 0) }
        == errorText { try whole.take(beyond, axis: 0) })
  }

  @Test(arguments: halves) func typesConvert(_ dtype: DType) throws {
    let half = try Tensor([1.5, -2, 0], shape: [3]).narrowed(to: dtype)
    #expect(try half.stored(as: dtype) === half)
    let other: DType = dtype == .float16 ? .bfloat16 : .float16
    #expect(try half.stored(as: other).widened().values == [1.5, -2, 0])
    #expect(try (half.stored(as: .int32) as? Tensor)?.codes == [1, -2, 0])
    #expect(try (half.stored(as: .bool) as? Tensor)?.codes == [1, 1, 0])
    let large = try Tensor([3e9], shape: [1]).narrowed(to: .bfloat16)
    #expect(errorText { try large.stored(as: .int32) }.hasPrefix("[astype] element 0 = "))
  }

  @Test func onlyHalvesAreWidened() throws {
    let x: StoredTensor = try StoredTensor.uninitialized(anyOf: .float32, [2])
    #expect(x is Tensor)
    #expect(errorText { try x.widened() } == "")
    expectError("[astype] dtype float32: float16 or bfloat16 is required") {
      try Tensor.ones([2]).narrowed(to: .float32)
    }
    #expect(try StoredTensor.uninitialized(anyOf: .float16, [2, 3]).byteCount == 12)
  }
}
