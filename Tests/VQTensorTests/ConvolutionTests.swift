import Testing
import VQTesting
import VQKernels

@testable import VQTensor

extension ConvolutionBackend {
  static let all = [ConvolutionBackend.patches, .fastest]
}

/// One geometry: `[n, h, w, in]`, out channels, kernel, stride, padding.
struct ConvolutionCase: CustomStringConvertible {
  var input: [Int]
  var out: Int
  var kernel: (Int, Int)
  var stride = (1, 1)
  var padding = (0, 0)
  var dilation = (1, 1)

  var weightShape: [Int] { [out, input[3], kernel.0, kernel.1] }
  var description: String {
    "\(input) to \(out), \(kernel) by \(stride), padding \(padding), dilation \(dilation)"
  }

  func geometry() throws -> ConvolutionGeometry {
    let window = try WindowArguments(
      operation: "conv2d", kernel: kernel, stride: stride, padding: padding,
      dilation: dilation
    ).window(over: input)
    return ConvolutionGeometry(images: input[0], outChannels: out, window: window)
  }

  static let all =
    [
      ConvolutionCase(input: [2, 6, 5, 3], out: 4, kernel: (3, 3), padding: (1, 1)),
      ConvolutionCase(
        input: [3, 8, 8, 3], out: 16, kernel: (4, 4), stride: (2, 2), padding: (1, 1)),
      ConvolutionCase(
        input: [2, 7, 9, 5], out: 3, kernel: (3, 2), stride: (2, 3), padding: (2, 1)),
      ConvolutionCase(input: [2, 5, 5, 16], out: 32, kernel: (1, 1)),
      ConvolutionCase(input: [2, 5, 5, 8], out: 6, kernel: (1, 1), stride: (2, 2)),
      ConvolutionCase(input: [1, 4, 4, 2], out: 2, kernel: (4, 4)),
      ConvolutionCase(input: [1, 1, 1, 1], out: 1, kernel: (1, 1)),
      ConvolutionCase(input: [1, 1, 9, 1], out: 1, kernel: (1, 3), padding: (0, 1)),
      ConvolutionCase(input: [40, 12, 12, 16], out: 16, kernel: (3, 3), padding: (1, 1)),
      ConvolutionCase(input: [2, 7, 8, 32], out: 48, kernel: (3, 3), padding: (1, 0)),
      ConvolutionCase(input: [3, 9, 10, 32], out: 64, kernel: (3, 3), padding: (1, 0)),
    ] + parts
  /// Images in several parts, of which the last one is smaller.
  static let parts = [
    ConvolutionCase(
      input: [35, 8, 8, 32], out: 48, kernel: (4, 4), stride: (2, 2), padding: (1, 1)),
    ConvolutionCase(input: [300, 3, 4, 16], out: 20, kernel: (1, 1)),
    ConvolutionCase(input: [513, 4, 4, 3], out: 16, kernel: (4, 4)),
    // One image alone takes another layout of the weights.
    ConvolutionCase(input: [30, 6, 6, 64], out: 64, kernel: (6, 6)),
  ]
}

@Suite struct ConvolutionTests {
  @Test(arguments: ConvolutionBackend.all)
  func handValue(backend: ConvolutionBackend) throws {
    let x = try Tensor([1, 2, 3, 4, 5, 6, 7, 8, 9], shape: [1, 3, 3, 1])
    let weight = try Tensor([1, 2, 3, 4], shape: [1, 1, 2, 2])
    let bias = try Tensor([10], shape: [1])
    let y = try x.conv2d(weight, bias: bias, backend: backend)
    #expect(y.shape == [1, 2, 2, 1])
    #expect(y.values == [47, 57, 77, 87])
  }

  /// A sum of m products of numbers below 1 in float32 is off by at most about eps * m * sum / 2.
  private func tolerance(_ terms: Int) -> Double { 0x1p-24 * Double(terms + 8) * 4 }

  @Test(arguments: ConvolutionCase.all, ConvolutionBackend.all)
  func agreesWithFloat64(_ shape: ConvolutionCase, backend: ConvolutionBackend) throws {
    let g = try shape.geometry()
    let reference = ConvolutionReference(geometry: g)
    let x = try randomTensor(shape.input, seed: 1, from: -1, to: 1).requiringGrad()
    let weight = try randomTensor(shape.weightShape, seed: 2, from: -1, to: 1).requiringGrad()
    let bias = try randomTensor([shape.out], seed: 3, from: -1, to: 1).requiringGrad()
    let y = try x.conv2d(
      weight, bias: bias, stride: shape.stride, padding: shape.padding, backend: backend)
    #expect(y.shape == g.outputShape)
    let expected = reference.forward(x.values, weight.values).enumerated().map {
      $1 + Double(bias.values[$0 % shape.out])
    }
    expectClose(y, expected, relative: 0, absolute: tolerance(g.window.patchCount))

    let gradient = try randomTensor(y.shape, seed: 4, from: -1, to: 1)
    try y.backward(gradient)
    expectClose(
      try #require(x.grad), reference.backwardData(gradient.values, weight.values),
      relative: 0, absolute: tolerance(shape.out * shape.kernel.0 * shape.kernel.1))
    expectClose(
      try #require(weight.grad), reference.backwardWeights(gradient.values, x.values),
      relative: 0, absolute: tolerance(g.outputPixels))
    expectClose(
      try #require(bias.grad), columnSums(gradient.values, columns: shape.out),
      relative: 0, absolute: tolerance(g.outputPixels))
  }

  /// Linear in each argument, so that only rounding is left: eps * sum|c * y| / step < 2^-24 * 64 *
  /// 64.
  @Test(arguments: ConvolutionBackend.all)
  func centralDifferences(backend: ConvolutionBackend) throws {
    let inputs = [
      try randomTensor([2, 4, 5, 2], seed: 1, from: -1, to: 1),
      try randomTensor([3, 2, 3, 2], seed: 2, from: -1, to: 1),
      try randomTensor([3], seed: 3, from: -1, to: 1),
    ]
    try checkGradient(
      of: {
        try $0[0].conv2d($0[1], bias: $0[2], stride: (2, 1), padding: (1, 0), backend: backend)
      }, at: inputs)
  }

  @Test(arguments: ConvolutionBackend.all)
  func emptyBatchAndNoChannels(backend: ConvolutionBackend) throws {
    let x = try Tensor.zeros([0, 4, 4, 2]).requiringGrad()
    let weight = try Tensor.ones([3, 2, 3, 3]).requiringGrad()
    let bias = try Tensor.ones([3]).requiringGrad()
    let y = try x.conv2d(weight, bias: bias, padding: (1, 1), backend: backend)
    #expect(y.shape == [0, 4, 4, 3])
    try y.backward(Tensor.zeros([0, 4, 4, 3]))
    #expect(x.grad?.shape == [0, 4, 4, 2])
    #expect(weight.grad?.values == [Float](repeating: 0, count: 54))
    #expect(bias.grad?.values == [0, 0, 0])

    let none = try Tensor.zeros([1, 2, 2, 0])
      .conv2d(Tensor.zeros([2, 0, 1, 1]), bias: Tensor([1, 2], shape: [2]), backend: backend)
    #expect(none.values == [1, 2, 1, 2, 1, 2, 1, 2])
  }

  @Test func patchesDoNotDependOnThreads() throws {
    let x = try randomTensor([40, 12, 12, 16], seed: 1)
    let weight = try randomTensor([16, 16, 3, 3], seed: 2)
    let gradient = try randomTensor([40, 12, 12, 16], seed: 3)
    for pick in 0..<3 {
      try expectThreadIndependent {
        let (a, b) = (try x.requiringGrad(), try weight.requiringGrad())
        let y = try a.conv2d(b, padding: (1, 1), backend: .patches)
        try y.backward(gradient)
        return pick == 0 ? y : pick == 1 ? a.grad! : b.grad!
      }
    }
  }

  @Test(arguments: ConvolutionCase.parts)
  func partsDoNotDependOnThreads(_ shape: ConvolutionCase) throws {
    let g = try shape.geometry()
    let x = try randomTensor(shape.input, seed: 1)
    let weight = try randomTensor(shape.weightShape, seed: 2)
    let bias = try randomTensor([shape.out], seed: 3)
    let gradient = try randomTensor(g.outputShape, seed: 4)
    for pick in 0..<4 {
      try expectThreadIndependent {
        let (a, b, c) = (
          try x.requiringGrad(), try weight.requiringGrad(), try bias.requiringGrad()
        )
        let y = try a.conv2d(b, bias: c, stride: shape.stride, padding: shape.padding)
        try y.backward(gradient)
        return [y, a.grad!, b.grad!, c.grad!][pick]
      }
    }
  }

  @Test func gradientsOnlyWhereNeeded() throws {
    let x = try randomTensor([1, 3, 3, 1], seed: 1, from: -1, to: 1)
    let bias = try Tensor.zeros([1]).requiringGrad()
    let weight = try Tensor.ones([1, 1, 3, 3])
    try x.conv2d(weight, bias: bias).backward()
    #expect(bias.grad?.values == [1])
    #expect(x.grad == nil && weight.grad == nil)
  }

  @Test(arguments: ConvolutionBackend.all)
  func threadsMayConvolveAtOnce(backend: ConvolutionBackend) async throws {
    let x = try randomTensor([4, 8, 8, 16], seed: 1, from: -1, to: 1)
    let weight = try randomTensor([16, 16, 3, 3], seed: 2, from: -1, to: 1)
    let expected = try x.conv2d(weight, padding: (1, 1), backend: backend).values
    let (values, weights) = (x.values, weight.values)
    let equal = try await withThrowingTaskGroup(of: Bool.self) { group in
      for _ in 0..<8 {
        group.addTask {
          let x = try Tensor(values, shape: [4, 8, 8, 16])
          let weight = try Tensor(weights, shape: [16, 16, 3, 3])
          return try x.conv2d(weight, padding: (1, 1), backend: backend).values == expected
        }
      }
      return try await group.reduce(true) { $0 && $1 }
    }
    #expect(equal)
  }

  @Test func sizesBeyondMemoryThrow() throws {
    let x = try Tensor.zeros([8, 1, 1, 1 << 20])
    let weight = try Tensor.zeros([1, 1 << 20, 1, 1])
    #expect(throws: VQError.self) { try x.conv2d(weight, padding: (1 << 19, 1 << 19)) }
  }

  @Test func errors() throws {
    let x = try Tensor.zeros([1, 8, 8, 3])
    func weight(_ shape: Int...) throws -> Tensor { try Tensor.zeros(shape) }
    expectError(
      "[conv2d] shapes [1, 8, 8, 3] and [16, 4, 3, 3]: the input has 3 channels and the weight expects 4"
    ) { try x.conv2d(weight(16, 4, 3, 3)) }
    expectError("[conv2d] shape [8, 8, 3]: the input must be [n, h, w, c]") {
      try Tensor.zeros([8, 8, 3]).conv2d(weight(16, 3, 3, 3))
    }
    expectError(
      "[conv2d] shapes [1, 8, 8, 3] and [16, 3]: the weight must be [out, in, h, w]"
    ) { try x.conv2d(weight(16, 3)) }
    expectError(
      "[conv2d] shapes [16, 3, 3, 3] and [15]: the bias must have the shape [16]"
    ) { try x.conv2d(weight(16, 3, 3, 3), bias: weight(15)) }
    expectError("[conv2d] shape [1, 8, 8, 3]: the kernel 11x3 exceeds the padded input 10x10") {
      try x.conv2d(weight(16, 3, 11, 3), padding: (1, 1))
    }
    expectError("[conv2d] kernel = (0, 3): both sizes must be at least 1") {
      try x.conv2d(weight(16, 3, 0, 3))
    }
    expectError("[conv2d] stride = (1, 0): both steps must be at least 1") {
      try x.conv2d(weight(16, 3, 3, 3), stride: (1, 0))
    }
    expectError("[conv2d] padding = (-1, 0): both sides must be at least 0") {
      try x.conv2d(weight(16, 3, 3, 3), padding: (-1, 0))
    }
    expectError(
      "[conv2d] sizes [3, 3, 1, 1, \(Int.max), 0]: their product does not fit in memory"
    ) { try x.conv2d(weight(16, 3, 3, 3), padding: (.max, 0)) }
    expectError("[conv2d] dtypes float32 and int32: float32 is required") {
      try x.conv2d(Tensor(codes: [1, 1, 1], shape: [1, 3, 1, 1]))
    }
  }
}
