import Glibc
import Testing
import VQTesting

@testable import VQTensor

@Suite struct UnaryTests {
  struct Operation: CustomTestStringConvertible, Sendable {
    let name: String
    /// Units in the last place that the value may be off.
    let ulps: Double
    let apply: @Sendable (Tensor) throws -> Tensor
    let reference: @Sendable (Double) -> Double
    /// Where the function is defined and, for the gradient, smooth.
    var points: [Float] = [-1.75, -0.625, -0.25, 0.25, 0.625, 1.5]
    var testDescription: String { name }
  }

  static let positive: [Float] = [0.5, 0.75, 1, 1.5, 3]

  static func normal(_ x: Double) -> Double { 0.5 * erfc(-x * 0.5.squareRoot()) }

  // The gelu of negative numbers comes from the tail of the distribution, whose exponent x^2 / 2 is
  // rounded: x^2 ulps more, which `valuesAcrossTheRange` adds.
  static let operations = [
    Operation(name: "exp", ulps: 2, apply: { try $0.exp() }, reference: { Glibc.exp($0) }),
    Operation(
      name: "log", ulps: 2, apply: { try $0.log() }, reference: { Glibc.log($0) }, points: positive),
    Operation(
      name: "sqrt", ulps: 0.5, apply: { try $0.sqrt() }, reference: { $0.squareRoot() },
      points: positive),
    Operation(name: "tanh", ulps: 3, apply: { try $0.tanh() }, reference: { Glibc.tanh($0) }),
    Operation(
      name: "sigmoid", ulps: 3, apply: { try $0.sigmoid() }, reference: { 1 / (1 + Glibc.exp(-$0)) }
    ),
    Operation(
      name: "relu", ulps: 0, apply: { try $0.relu() }, reference: { $0 < 0 ? 0 : $0 }),
    Operation(name: "gelu", ulps: 5, apply: { try $0.gelu() }, reference: { $0 * normal($0) }),
    Operation(
      name: "silu", ulps: 4, apply: { try $0.silu() }, reference: { $0 / (1 + Glibc.exp(-$0)) }),
    Operation(name: "abs", ulps: 0, apply: { try $0.abs() }, reference: { Swift.abs($0) }),
    Operation(name: "square", ulps: 0.5, apply: { try $0.square() }, reference: { $0 * $0 }),
    Operation(
      name: "clamp", ulps: 0, apply: { try $0.clamp(minimum: -0.5, maximum: 1) },
      reference: { Swift.min(Swift.max($0, -0.5), 1) }),
    Operation(
      name: "pow", ulps: 1, apply: { try $0.pow(1.5) }, reference: { Glibc.pow($0, 1.5) },
      points: positive),
    Operation(name: "pow", ulps: 1.5, apply: { try $0.pow(3) }, reference: { $0 * $0 * $0 }),
    Operation(name: "pow", ulps: 0.5, apply: { try $0.pow(2) }, reference: { $0 * $0 }),
    Operation(
      name: "pow", ulps: 0.5, apply: { try $0.pow(-1) }, reference: { 1 / $0 }, points: positive),
    Operation(name: "pow", ulps: 0, apply: { try $0.pow(0) }, reference: { _ in 1 }),
  ]

  @Test(arguments: operations, [false, true])
  func valuesAcrossTheRange(_ operation: Operation, keepsDenormals: Bool) throws {
    var points: [Float] = [0]
    for exponent in -30...6 {
      for step in 0..<16 {
        let magnitude =
          Float(16 + step) / 16 * Float(sign: .plus, exponent: exponent, significand: 1)
        points += [magnitude, -magnitude]
      }
    }
    let x = try Tensor(points, shape: [points.count])
    let result =
      keepsDenormals
      ? try withGradualUnderflow { try operation.apply(x) } : try operation.apply(x)
    for (x, value) in zip(points, result.values) {
      let reference = operation.reference(Double(x))
      let rounded = Float(reference)
      if rounded.isNaN || rounded.isInfinite {
        #expect(value.isNaN == rounded.isNaN && value.isInfinite == rounded.isInfinite, "at \(x)")
        continue
      }
      // Denormals are 0 otherwise; gelu and silu multiply x by what may be one.
      let isProduct = operation.name == "gelu" || operation.name == "silu"
      let smallest =
        Double(Float.leastNormalMagnitude) * (isProduct ? Swift.max(1, Swift.abs(Double(x))) : 1)
      if !keepsDenormals && value == 0 && Swift.abs(reference) < smallest { continue }
      var tail = operation.name == "gelu" && x < 0 ? Double(x * x) : 0
      // A denormal sigmoid is rounded to the least denormal, and then multiplied by x.
      if operation.name == "silu" && x < -80 { tail = Double(-x) }
      let ulps = operation.ulps + tail + (operation.ulps == 0 ? 0 : 0.01)
      // Below the normal numbers an ulp is the least denormal.
      #expect(
        Swift.abs(Double(value) - reference) <= ulps * Double(rounded.ulp),
        "\(operation.name)(\(x)) = \(value), not \(rounded)")
    }
  }

  @Test(arguments: operations) func gradientEqualsDifferences(_ operation: Operation) throws {
    // Derivatives at 1/2 of log and 1/x grow with the fifth power of 2: the step is halved.
    try checkGradient(
      of: { try operation.apply($0[0]) },
      at: [Tensor(operation.points, shape: [operation.points.count])], step: 0x1p-6)
  }

  /// What operations on integers make of -3 and 2; the others take none.
  static let ofIntegers: [String: [Int32]] = ["abs": [3, 2], "square": [9, 4]]

  @Test(arguments: operations) func takesEmptyAndSingleElements(_ operation: Operation) throws {
    #expect(try operation.apply(Tensor.ones([0, 2])).shape == [0, 2])
    #expect(try operation.apply(Tensor.ones([1, 1])).shape == [1, 1])
    let codes = try Tensor(codes: [-3, 2], shape: [2])
    if let expected = Self.ofIntegers[operation.name] {
      let result = try operation.apply(codes)
      #expect(result.dtype == .int32 && result.codes == expected)
    } else {
      expectError("[\(operation.name)] dtype int32: float32 is required") {
        try operation.apply(codes)
      }
    }
  }

  @Test(arguments: operations) func propagatesNotANumber(_ operation: Operation) throws {
    let values = try operation.apply(Tensor([.nan], shape: [1])).values
    #expect(values[0].isNaN || operation.reference(.nan) == 1)
  }

  @Test func limits() throws {
    let ends = try Tensor([-.infinity, .infinity], shape: [2])
    #expect(try ends.exp().values == [0, .infinity])
    #expect(try ends.tanh().values == [-1, 1])
    #expect(try ends.sigmoid().values == [0, 1])
    #expect(try ends.relu().values == [0, .infinity])
    #expect(try Tensor([0, .infinity], shape: [2]).log().values == [-.infinity, .infinity])
    let bounds = try Tensor([88.72283, 88.7229, -87.33, -87.34, -103.9, -105], shape: [6])
    let least = try Tensor([.leastNormalMagnitude, .leastNonzeroMagnitude], shape: [2])
    let exponentials = try bounds.exp().values
    #expect(exponentials[0].isFinite && exponentials[2].isNormal)
    #expect(exponentials[1] == .infinity && exponentials[3...] == [0, 0, 0])
    #expect(try least.log().values == [-87.33655, -.infinity])
    try withGradualUnderflow {
      let kept = try bounds.exp().values
      #expect(kept[..<3] == exponentials[..<3])
      #expect(kept[3].isSubnormal && kept[4...] == [.leastNonzeroMagnitude, 0])
      #expect(try least.log().values == [-87.33655, -103.27893])
    }
  }

  @Test func gradientAtAKinkIsZero() throws {
    let x = try Tensor([0], shape: [1]).requiringGrad()
    try (x.relu() + x.abs()).backward()
    #expect(x.grad!.values == [0])
  }

  @Test func clampRefusesBadBounds() throws {
    let x = try Tensor.ones([1])
    expectError("[clamp] a minimum or a maximum is required") { try x.clamp() }
    expectError("[clamp] minimum = 2.0: must not exceed the maximum 1.0") {
      try x.clamp(minimum: 2, maximum: 1)
    }
  }
}
