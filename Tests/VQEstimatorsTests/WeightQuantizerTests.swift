import Testing
import VQEstimators
import VQNN
import VQTensor

@Suite struct WeightQuantizerTests {
  static let estimators: [(WeightEstimator, Int)] = [
    (.straightThrough, 3), (.clipped, 2), (.dsq(sharpness: 5.5), 2), (.dsq(sharpness: 40), 8),
    (.cosine(amplitude: -0.7), 4), (.mad, 3), (.sampled([0.3, 1, 2, 0.4], cyclical: true), 2),
    (.sampled([0.3, 1, 2, 0.4], cyclical: false), 3), (.tanh(sharpness: 2), 1), (.sigmoid, 1),
    (.arctan, 1), (.approxSign, 1), (.reste(power: 3, cap: 0.05), 1),
    (.errorDecay(progress: 0.8), 1),
  ]

  /// Float32 elementary functions are within 4 ulp, the offset in a cell within 2^-24 of it.
  @Test(arguments: estimators)
  func kernelsAreTheFloat64Formulas(estimator: WeightEstimator, bits: Int) throws {
    let e = try GridEstimator(estimator, on: UniformGrid(bits: bits, bound: 0.8))
    let values = try Generator(seed: 1).uniform([40_000], from: -1.1, to: 1.1).values
    let w = try Tensor(values, shape: [200, 200]).requiringGrad(.weight)
    let g = try Generator(seed: 2).normal([200, 200])
    let quantizer = try WeightQuantizer(e, gradientScale: 0.5)
    let quantized = try quantizer.forward(w)
    try quantized.backward(g)
    let (q, dw, codes) = (quantized.values, w.grad!.values, try quantizer.codes(w).codes)
    let gradient = g.values
    for (i, weight) in values.enumerated() {
      let exact = e.grid.quantized(Double(weight))
      #expect(q[i] == Float(exact))
      #expect(abs(Double(codes[i]) * e.grid.spacing - e.grid.bound - exact) < 1e-12)
      let slope = 0.5 * e.derivative(Double(weight)) * Double(gradient[i])
      #expect(abs(Double(dw[i]) - slope) <= 4e-6 * max(1, abs(slope)))
    }
  }

  @Test func ewgsFollowsTheSignOfTheGradient() throws {
    // D = 1; Q(0.3) = 0.5, Q(-0.9) = -0.5: errors -0.2 and -0.4.
    let e = try GridEstimator(.ewgs(strength: 0.5), on: UniformGrid(bits: 2, bound: 1.5))
    let w = try Tensor([0.3, 0.3, -0.9, -0.9, 1.6, 0.3], shape: [6]).requiringGrad(.weight)
    try WeightQuantizer(e).forward(w).backward(Tensor([2, -2, 1, -1, 1, 0], shape: [6]))
    let expected: [Float] = [1.6, -2.4, 0.6, -1.4, 0, 0]
    for (found, value) in zip(w.grad!.values, expected) { #expect(abs(found - value) < 1e-6) }
  }

  @Test func layersComputeWithTheQuantizedWeight() throws {
    let layer = try Linear(weight: Tensor([0.3, -0.9, 1.4, 0.1], shape: [2, 2]))
    let grid = try UniformGrid(bits: 2, bound: 1.5)
    layer.weightQuantizer = try WeightQuantizer(
      GridEstimator(.errorDecay(progress: 0), on: UniformGrid(bits: 1, bound: 2)))
    #expect(Sequential(layer).state.map(\.name) == ["0.weight", "0.weight_quantizer.progress"])
    layer.weightQuantizer = try WeightQuantizer(GridEstimator(.straightThrough, on: grid))
    let y = try layer.forward(Tensor([1, 0, 0, 1], shape: [2, 2]))
    #expect(y.values == [0.5, 1.5, -0.5, 0.5])
    try y.backward(Tensor([1, 2, 3, 4], shape: [2, 2]))
    #expect(layer.weight.grad!.values == [1, 3, 2, 4])
    #expect(layer.weight.values == [0.3, -0.9, 1.4, 0.1])
    layer.weightQuantizer = nil
    #expect(try layer.forward(Tensor([1, 0], shape: [1, 2])).values == [0.3, 1.4])
  }

  @Test func weightedLayersByName() throws {
    let generator = Generator(seed: 0)
    let conv = try Conv2d(inputs: 2, outputs: 3, kernel: (3, 3), generator: generator)
    let inner = Sequential(ReLU(), try Linear(inputs: 4, outputs: 5, generator: generator))
    let found = Sequential(conv, Residual(inner)).weightedLayers
    #expect(found.map(\.name) == ["0", "1.body.1"])
    #expect(try found.map { try $0.layer.fanIn } == [18, 4])
    #expect(conv.weightedLayers.map(\.name) == [""])
  }

  @Test func nanStaysVisible() throws {
    let e = try GridEstimator(.cosine(amplitude: 0.2), on: UniformGrid(bits: 2, bound: 1))
    let w = try Tensor([.nan, 0.1], shape: [2])
    #expect(try WeightQuantizer(e).forward(w).values[0].isNaN)
    #expect(try WeightQuantizer(e).codes(w).codes == [-1, 2])
  }

  @Test func scaleMustBePositive() throws {
    let e = try GridEstimator(.clipped, on: UniformGrid(bits: 2, bound: 1))
    #expect {
      _ = try WeightQuantizer(e, gradientScale: 0)
    } throws: {
      "\($0)" == "[weight_quantizer] gradient_scale = 0.0: must be positive and finite in float32"
    }
  }
}
