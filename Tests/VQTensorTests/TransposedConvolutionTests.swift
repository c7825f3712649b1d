import Testing
import VQTesting
import VQKernels

@testable import VQTensor

/// One geometry: `[n, h, w, in]`, out channels, kernel, stride, padding, output padding.
struct TransposedCase: CustomStringConvertible {
  var input: [Int]
  var out: Int
  var kernel: (Int, Int)
  var stride = (1, 1)
  var padding = (0, 0)
  var outputPadding = (0, 0)

  var weightShape: [Int] { [input[3], out, kernel.0, kernel.1] }
  var description: String {
    "\(input) to \(out), \(kernel) by \(stride), padding \(padding) \(outputPadding)"
  }

  func geometry() -> ConvolutionGeometry {
    let height = (input[1] - 1) * stride.0 - 2 * padding.0 + kernel.0 + outputPadding.0
    let width = (input[2] - 1) * stride.1 - 2 * padding.1 + kernel.1 + outputPadding.1
    return ConvolutionGeometry(
      images: input[0], outChannels: input[3],
      window: Window(
        height: height, width: width, channels: out, outHeight: input[1], outWidth: input[2],
        kernel: kernel, stride: stride, padding: padding))
  }

  static let all = [
    TransposedCase(input: [2, 4, 4, 6], out: 3, kernel: (4, 4), stride: (2, 2), padding: (1, 1)),
    TransposedCase(input: [3, 4, 5, 16], out: 16, kernel: (3, 3), padding: (1, 1)),
    TransposedCase(
      input: [2, 3, 5, 2], out: 5, kernel: (3, 2), stride: (2, 3), padding: (1, 0),
      outputPadding: (1, 2)),
    TransposedCase(input: [2, 3, 3, 4], out: 8, kernel: (1, 1)),
    TransposedCase(input: [2, 2, 3, 4], out: 3, kernel: (1, 1), stride: (2, 2)),
    TransposedCase(input: [1, 1, 1, 1], out: 1, kernel: (1, 1)),
    TransposedCase(input: [1, 1, 1, 3], out: 1, kernel: (5, 5)),
    TransposedCase(
      input: [33, 16, 16, 16], out: 3, kernel: (4, 4), stride: (2, 2), padding: (1, 1)),
  ]
}

@Suite struct TransposedConvolutionTests {
  @Test(arguments: ConvolutionBackend.all)
  func handValue(backend: ConvolutionBackend) throws {
    let x = try Tensor([1, 2, 3, 4], shape: [1, 2, 2, 1])
    let weight = try Tensor([1, 2, 3, 4], shape: [1, 1, 2, 2])
    let bias = try Tensor([100], shape: [1])
    let y = try x.convTranspose2d(weight, bias: bias, backend: backend)
    #expect(y.shape == [1, 3, 3, 1])
    #expect(y.values == [101, 104, 104, 106, 120, 116, 109, 124, 116])
  }

  private func tolerance(_ terms: Int) -> Double { 0x1p-24 * Double(terms + 8) * 4 }

  @Test(arguments: TransposedCase.all, ConvolutionBackend.all)
  func agreesWithFloat64(_ shape: TransposedCase, backend: ConvolutionBackend) throws {
    let g = shape.geometry()
    let reference = ConvolutionReference(geometry: g)
    let x = try randomTensor(shape.input, seed: 1, from: -1, to: 1).requiringGrad()
    let weight = try randomTensor(shape.weightShape, seed: 2, from: -1, to: 1).requiringGrad()
    let bias = try randomTensor([shape.out], seed: 3, from: -1, to: 1).requiringGrad()
    let y = try x.convTranspose2d(
      weight, bias: bias, stride: shape.stride, padding: shape.padding,
      outputPadding: shape.outputPadding, backend: backend)
    #expect(y.shape == g.inputShape)
    let biasValues = bias.values
    let expected = reference.backwardData(x.values, weight.values).enumerated().map {
      $1 + Double(biasValues[$0 % shape.out])
    }
    let terms = shape.kernel.0 * shape.kernel.1
    expectClose(y, expected, relative: 0, absolute: tolerance(terms * shape.input[3]))

    let gradient = try randomTensor(y.shape, seed: 4, from: -1, to: 1)
    try y.backward(gradient)
    expectClose(
      try #require(x.grad), reference.forward(gradient.values, weight.values),
      relative: 0, absolute: tolerance(terms * shape.out))
    expectClose(
      try #require(weight.grad), reference.backwardWeights(x.values, gradient.values),
      relative: 0, absolute: tolerance(g.outputPixels))
    expectClose(
      try #require(bias.grad), columnSums(gradient.values, columns: shape.out),
      relative: 0, absolute: tolerance(y.count / shape.out))
  }

  /// Linear in each argument, so that only rounding is left: eps * sum|c * y| / step < 2^-24 * 64 *
  /// 64.
  @Test(arguments: ConvolutionBackend.all)
  func centralDifferences(backend: ConvolutionBackend) throws {
    let inputs = [
      try randomTensor([2, 3, 2, 3], seed: 1, from: -1, to: 1),
      try randomTensor([3, 2, 3, 2], seed: 2, from: -1, to: 1),
      try randomTensor([2], seed: 3, from: -1, to: 1),
    ]
    try checkGradient(
      of: {
        try $0[0].convTranspose2d(
          $0[1], bias: $0[2], stride: (2, 1), padding: (1, 0), outputPadding: (1, 0),
          backend: backend)
      }, at: inputs)
  }

  @Test(arguments: ConvolutionBackend.all)
  func emptyBatch(backend: ConvolutionBackend) throws {
    let x = try Tensor.zeros([0, 4, 4, 2]).requiringGrad()
    let weight = try Tensor.ones([2, 3, 4, 4]).requiringGrad()
    let y = try x.convTranspose2d(weight, stride: (2, 2), padding: (1, 1), backend: backend)
    #expect(y.shape == [0, 8, 8, 3])
    try y.backward(Tensor.zeros([0, 8, 8, 3]))
    #expect(x.grad?.shape == [0, 4, 4, 2])
    #expect(weight.grad?.values == [Float](repeating: 0, count: 96))
  }

  @Test func errors() throws {
    let x = try Tensor.zeros([1, 4, 4, 3])
    func weight(_ shape: Int...) throws -> Tensor { try Tensor.zeros(shape) }
    expectError(
      "[conv_transpose2d] shapes [1, 4, 4, 3] and [4, 8, 3, 3]: the input has 3 channels and the weight expects 4; images are [n, h, w, c]: permute(0, 2, 3, 1) brings channels last"
    ) { try x.convTranspose2d(weight(4, 8, 3, 3)) }
    expectError(
      "[conv_transpose2d] shapes [3, 8, 3, 3] and [3]: the bias must have the shape [8]"
    ) { try x.convTranspose2d(weight(3, 8, 3, 3), bias: weight(3)) }
    expectError(
      "[conv_transpose2d] output_padding = (2, 0): both must be at least 0 and below the stride (2, 2)"
    ) { try x.convTranspose2d(weight(3, 8, 3, 3), stride: (2, 2), outputPadding: (2, 0)) }
    expectError(
      "[conv_transpose2d] shapes [1, 4, 4, 3] and [3, 8, 1, 1]: the output would be 0x0, both must be at least 1"
    ) { try x.convTranspose2d(weight(3, 8, 1, 1), padding: (2, 2)) }
    expectError("[conv_transpose2d] shape [1, 0, 4, 3]: height and width must be at least 1") {
      try Tensor.zeros([1, 0, 4, 3]).convTranspose2d(weight(3, 8, 1, 1))
    }
    expectError("[conv_transpose2d] stride = (0, 1): both steps must be at least 1") {
      try x.convTranspose2d(weight(3, 8, 1, 1), stride: (0, 1))
    }
    expectError(
      "[conv_transpose2d] sizes [6442450942, 4]: their product does not fit in memory"
    ) { try x.convTranspose2d(weight(3, 8, 1, 1), stride: (Int(Int32.max), 1)) }
  }
}
