import Testing
import VQKernels
import VQTesting

@testable import VQTensor

/// One geometry with a dilation and groups.
struct TapCase: CustomStringConvertible {
  var input: [Int]
  var out: Int
  var kernel: (Int, Int)
  var stride = (1, 1)
  var padding = (0, 0)
  var dilation = (1, 1)
  var groups = 1

  var description: String {
    "\(input) to \(out), \(kernel) by \(stride), padding \(padding), dilation \(dilation), "
      + "\(groups) groups"
  }

  func geometry() throws -> ConvolutionGeometry {
    let window = try WindowArguments(
      operation: "conv2d", kernel: kernel, stride: stride, padding: padding, dilation: dilation
    ).window(over: input)
    return ConvolutionGeometry(
      images: input[0], outChannels: out, window: window, groups: groups)
  }

  /// Whole and cut panels, channels in several blocks, strides with and without gaps, rows in
  /// several pieces and shares.
  static let all = [
    TapCase(input: [2, 1, 700, 16], out: 24, kernel: (1, 7), padding: (0, 3)),
    TapCase(input: [1, 1, 40, 300], out: 40, kernel: (1, 3), padding: (0, 1)),
    TapCase(input: [2, 1, 130, 24], out: 48, kernel: (1, 8), stride: (1, 4), padding: (0, 2)),
    TapCase(input: [2, 1, 90, 16], out: 16, kernel: (1, 3), padding: (0, 9), dilation: (1, 9)),
    TapCase(input: [3, 9, 11, 17], out: 33, kernel: (3, 3), padding: (2, 2), dilation: (2, 2)),
    TapCase(
      input: [2, 12, 13, 20], out: 8, kernel: (2, 3), stride: (3, 2), padding: (1, 1),
      dilation: (2, 3)),
    TapCase(input: [2, 10, 7, 16], out: 32, kernel: (7, 1), padding: (3, 0)),
    TapCase(input: [2, 11, 10, 16], out: 16, kernel: (2, 2), stride: (3, 4)),
    TapCase(input: [5, 6, 5, 32], out: 48, kernel: (3, 3), padding: (1, 1), groups: 2),
    TapCase(input: [1, 40, 33, 12], out: 20, kernel: (3, 3), stride: (2, 2), padding: (1, 1)),
  ]
}

@Suite struct TapConvolutionTests {
  static let sets = InstructionSet.allCases.filter { $0.rawValue <= InstructionSet.usable.rawValue }

  /// What the three passes make of random operands.
  private func passes(_ shape: TapCase, _ set: InstructionSet, threads: Int) throws -> [[Float]] {
    let g = try shape.geometry()
    let convolution = TapConvolution(
      images: g.images, window: g.window, outChannels: g.outChannels, groups: g.groups, set)
    let (x, weight, bias, gradient) = try operands(g)
    var kept: [Storage] = []
    func memory(_ count: Int) throws -> UnsafeMutablePointer<Float> {
      let storage = try Storage(.float32, count: count)
      // What a buffer held before must not matter.
      storage.floats.update(repeating: .nan, count: count)
      kept.append(storage)
      return storage.floats
    }
    let scratch = try memory(
      max(convolution.scratchCount(threads: threads), convolution.weightGradientScratchCount()))
    let (y, inputs) = (try memory(g.outputCount), try memory(g.inputCount))
    let weights = try memory(g.weightCount)
    withThreads(threads) {
      convolution.convolve(
        x.storage.floats, weight.storage.floats, bias: bias.storage.floats, y, scratch: scratch,
        threads: threads)
      convolution.convolveTransposed(
        gradient.storage.floats, weight.storage.floats, bias: nil, inputs, scratch: scratch,
        threads: threads)
      convolution.weightGradient(
        x.storage.floats, gradient.storage.floats, weights, scratch: scratch)
    }
    return withExtendedLifetime(kept) {
      [(y, g.outputCount), (inputs, g.inputCount), (weights, g.weightCount)].map {
        Array(UnsafeBufferPointer(start: $0.0, count: $0.1))
      }
    }
  }

  private func operands(_ g: ConvolutionGeometry) throws -> (
    x: Tensor, weight: Tensor, bias: Tensor, gradient: Tensor
  ) {
    (
      try randomTensor(g.inputShape, seed: 1, from: -1, to: 1),
      try randomTensor(g.weightShape, seed: 2, from: -1, to: 1),
      try randomTensor([g.outChannels], seed: 3, from: -1, to: 1),
      try randomTensor(g.outputShape, seed: 4, from: -1, to: 1)
    )
  }

  /// The patches, which agree with Float64, are the witness.
  @Test(arguments: TapCase.all, sets)
  func agreesWithPatches(_ shape: TapCase, _ set: InstructionSet) throws {
    let g = try shape.geometry()
    let (x, weight, bias, gradient) = try operands(g)
    let witness = ConvolutionBackend.patches
    let expected = [
      try witness.forward(g, x, weight, bias: bias).values,
      try witness.backwardData(g, gradient, weight).values,
      try witness.backwardWeights(g, x, gradient, bias: false).weight.values,
    ]
    let taps = shape.kernel.0 * shape.kernel.1
    let terms = [taps * shape.input[3], taps * shape.out, g.outputPixels]
    for ((found, expected), terms) in zip(
      zip(try passes(shape, set, threads: 2), expected), terms)
    {
      // The tolerance of plain sums of so many products below 1, for each of the two.
      let tolerance = 2 * 0x1p-24 * Double(terms + 8) * 4
      #expect(found.count == expected.count)
      #expect(zip(found, expected).allSatisfy { abs(Double($0) - Double($1)) <= tolerance })
    }
  }

  @Test(arguments: TapCase.all, sets)
  func threadsDoNotChangeABit(_ shape: TapCase, _ set: InstructionSet) throws {
    let one = try passes(shape, set, threads: 1)
    for threads in [2, 3, 7] { #expect(try passes(shape, set, threads: threads) == one) }
  }
}
