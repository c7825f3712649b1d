import Testing
import VQKernels
import VQTesting

@testable import VQTensor

@Suite struct WinogradTests {
  /// Whole and cut tiles, one and several groups of tiles for the weights, every padding.
  static let cases = [
    ConvolutionCase(input: [4, 8, 8, 32], out: 64, kernel: (3, 3), padding: (1, 1)),
    ConvolutionCase(input: [5, 7, 10, 64], out: 32, kernel: (3, 3), padding: (0, 2)),
    ConvolutionCase(input: [129, 8, 8, 32], out: 32, kernel: (3, 3), padding: (1, 1)),
    // Weights of which a part stays near.
    ConvolutionCase(input: [8, 12, 12, 256], out: 288, kernel: (3, 3), padding: (1, 1)),
    ConvolutionCase(input: [3, 9, 12, 64], out: 32, kernel: (5, 5), padding: (2, 2)),
    ConvolutionCase(input: [5, 14, 7, 32], out: 64, kernel: (5, 5), padding: (0, 3)),
    ConvolutionCase(input: [65, 8, 8, 32], out: 32, kernel: (5, 5), padding: (4, 1)),
    // Stride 2: whole and cut tiles, several groups, every padding.
    ConvolutionCase(
      input: [4, 16, 16, 32], out: 64, kernel: (4, 4), stride: (2, 2), padding: (1, 1)),
    ConvolutionCase(
      input: [5, 17, 33, 64], out: 32, kernel: (4, 4), stride: (2, 2), padding: (0, 1)),
    ConvolutionCase(
      input: [129, 16, 16, 32], out: 32, kernel: (4, 4), stride: (2, 2), padding: (1, 1)),
    ConvolutionCase(
      input: [5, 14, 13, 32], out: 96, kernel: (4, 4), stride: (2, 2), padding: (2, 3)),
    ConvolutionCase(
      input: [4, 24, 24, 128], out: 160, kernel: (4, 4), stride: (2, 2), padding: (3, 0)),
    // Along rows and columns, in one part and several.
    ConvolutionCase(input: [4, 1, 403, 32], out: 32, kernel: (1, 7), padding: (0, 3)),
    ConvolutionCase(input: [3, 41, 5, 64], out: 32, kernel: (7, 1), padding: (2, 0)),
    ConvolutionCase(input: [1, 1, 512, 64], out: 96, kernel: (1, 3), padding: (0, 1)),
    ConvolutionCase(input: [2, 3, 66, 32], out: 64, kernel: (1, 4)),
    ConvolutionCase(input: [2, 70, 3, 32], out: 32, kernel: (5, 1), padding: (4, 0)),
    ConvolutionCase(input: [2, 2, 90, 32], out: 32, kernel: (1, 6), padding: (0, 5)),
    ConvolutionCase(input: [2, 1, 130, 32], out: 32, kernel: (1, 16), padding: (0, 7)),
    ConvolutionCase(
      input: [2, 2, 301, 32], out: 32, kernel: (1, 3), padding: (0, 9), dilation: (1, 9)),
    ConvolutionCase(
      input: [1, 130, 3, 32], out: 64, kernel: (7, 1), padding: (7, 0), dilation: (2, 1)),
  ]

  static let sets = InstructionSet.allCases.filter { $0.rawValue <= InstructionSet.usable.rawValue }

  typealias Operands = (x: Tensor, weight: Tensor, bias: Tensor, gradient: Tensor)

  /// What the three passes make of random operands.
  private func passes(
    _ g: ConvolutionGeometry, _ operands: Operands, _ set: InstructionSet, threads: Int
  ) throws -> [[Float]] {
    let convolution = try #require(
      WinogradConvolution(images: g.images, window: g.window, outChannels: g.outChannels, set))
    func storage(_ count: Int) throws -> UnsafeMutablePointer<Float> {
      let storage = try Storage(.float32, count: count)
      // What a buffer held before must not matter.
      storage.floats.update(repeating: .nan, count: count)
      kept.append(storage)
      return storage.floats
    }
    var kept: [Storage] = []
    let scratch = try storage(
      max(
        convolution.scratchCount(threads: threads),
        convolution.weightGradientScratchCount(threads: threads)))
    let y = try storage(g.outputCount)
    let inputs = try storage(g.inputCount)
    let weights = try storage(g.weightCount)
    let (x, w) = (operands.x.storage.floats, operands.weight.storage.floats)
    let gradient = operands.gradient.storage.floats
    withThreads(threads) {
      #expect(
        convolution.convolve(
          x, w, bias: operands.bias.storage.floats, y, scratch: scratch, threads: threads))
      #expect(
        convolution.convolveTransposed(
          gradient, w, bias: nil, inputs, scratch: scratch, threads: threads))
      #expect(
        convolution.weightGradient(x, gradient, weights, scratch: scratch, threads: threads))
    }
    return withExtendedLifetime(kept) {
      [(y, g.outputCount), (inputs, g.inputCount), (weights, g.weightCount)].map {
        Array(UnsafeBufferPointer(start: $0.0, count: $0.1))
      }
    }
  }

  private func operands(_ g: ConvolutionGeometry) throws -> Operands {
    (
      try randomTensor(g.inputShape, seed: 1, from: -1, to: 1),
      try randomTensor(g.weightShape, seed: 2, from: -1, to: 1),
      try randomTensor([g.outChannels], seed: 3, from: -1, to: 1),
      try randomTensor(g.outputShape, seed: 4, from: -1, to: 1)
    )
  }

  /// The patches, which agree with Float64, are the witness.
  @Test(arguments: cases, sets)
  func agreesWithPatches(_ shape: ConvolutionCase, _ set: InstructionSet) throws {
    let g = try shape.geometry()
    let operands = try operands(g)
    let found = try passes(g, operands, set, threads: 2)
    let (x, w) = (try operands.x.requiringGrad(), try operands.weight.requiringGrad())
    let y = try x.conv2d(
      w, bias: operands.bias, stride: shape.stride, padding: shape.padding,
      dilation: shape.dilation,
      backend: .patches)
    try y.backward(operands.gradient)
    let expected = [y.values, try #require(x.grad).values, try #require(w.grad).values]
    let taps = shape.kernel.0 * shape.kernel.1
    let terms = [g.window.patchCount, taps * shape.out, g.outputPixels]
    for ((found, expected), terms) in zip(zip(found, expected), terms) {
      // The tolerance of plain sums of so many products below 1, for each of the two.
      let tolerance = 2 * 0x1p-24 * Double(terms + 8) * 4
      #expect(found.count == expected.count)
      #expect(zip(found, expected).allSatisfy { abs(Double($0) - Double($1)) <= tolerance })
    }
  }

  @Test(arguments: cases, sets)
  func threadsDoNotChangeABit(_ shape: ConvolutionCase, _ set: InstructionSet) throws {
    let g = try shape.geometry()
    let operands = try operands(g)
    let one = try passes(g, operands, set, threads: 1)
    for threads in [2, 3, 7] { #expect(try passes(g, operands, set, threads: threads) == one) }
  }

  @Test func appliesWhereItSavesProducts() throws {
    func applies(_ shape: ConvolutionCase) throws -> Bool {
      let g = try shape.geometry()
      return WinogradConvolution(images: g.images, window: g.window, outChannels: g.outChannels)
        != nil
    }
    #expect(
      try applies(ConvolutionCase(input: [1, 4, 4, 32], out: 32, kernel: (3, 3), padding: (1, 1))))
    #expect(
      try applies(
        ConvolutionCase(input: [1, 8, 8, 256], out: 256, kernel: (3, 3), padding: (1, 1))))
    #expect(
      try applies(
        ConvolutionCase(input: [32, 13, 13, 384], out: 256, kernel: (3, 3), padding: (1, 1))))
    #expect(try applies(ConvolutionCase(input: [1, 10, 10, 32], out: 32, kernel: (5, 5))))
    #expect(try applies(ConvolutionCase(input: [1, 1, 40, 32], out: 32, kernel: (1, 7))))
    #expect(
      try applies(
        ConvolutionCase(
          input: [1, 8, 8, 32], out: 32, kernel: (4, 4), stride: (2, 2), padding: (1, 1))))
    // One tile for a single output; channels that no vector holds; too many for few tiles, and for
    // any; other windows.
    #expect(
      try !applies(
        ConvolutionCase(input: [1, 8, 8, 512], out: 256, kernel: (3, 3), padding: (1, 1))))
    #expect(
      try !applies(
        ConvolutionCase(input: [32, 13, 13, 512], out: 512, kernel: (3, 3), padding: (1, 1))))
    #expect(try !applies(ConvolutionCase(input: [1, 3, 3, 32], out: 32, kernel: (3, 3))))
    #expect(try !applies(ConvolutionCase(input: [1, 8, 8, 16], out: 32, kernel: (3, 3))))
    #expect(try !applies(ConvolutionCase(input: [1, 8, 8, 32], out: 48, kernel: (3, 3))))
    #expect(
      try !applies(ConvolutionCase(input: [1, 8, 8, 32], out: 32, kernel: (3, 3), stride: (2, 2))))
    #expect(try !applies(ConvolutionCase(input: [1, 8, 8, 32], out: 32, kernel: (4, 4))))
    #expect(
      try !applies(
        ConvolutionCase(input: [1, 6, 20, 32], out: 32, kernel: (4, 4), stride: (2, 2))))
    #expect(
      try !applies(
        ConvolutionCase(
          input: [1, 8, 8, 32], out: 32, kernel: (4, 4), stride: (2, 1), padding: (1, 1))))
    #expect(try !applies(ConvolutionCase(input: [1, 1, 40, 32], out: 32, kernel: (1, 2))))
    #expect(try !applies(ConvolutionCase(input: [1, 1, 40, 32], out: 32, kernel: (1, 17))))
    #expect(
      try !applies(
        ConvolutionCase(input: [1, 4, 40, 32], out: 32, kernel: (1, 7), padding: (1, 3))))
    #expect(
      try !applies(ConvolutionCase(input: [1, 1, 40, 32], out: 32, kernel: (1, 7), stride: (1, 2))))
  }
}
