import Testing
import VQTesting

@testable import VQNN
@testable import VQTensor

@Suite struct LayerTests {
  private let generator = Generator(seed: 1)

  @Test func linearHandValue() throws {
    let layer = try Linear(
      weight: Tensor([1, 2, 3, 4, 5, 6], shape: [3, 2]), bias: Tensor([1, 0, -1], shape: [3]))
    let x = try Tensor([1, 1, 2, -1], shape: [2, 1, 2])
    let y = try layer(x)
    #expect(y.shape == [2, 1, 3])
    #expect(y.values == [4, 7, 10, 1, 2, 3])
    try y.backward(Tensor.ones([2, 1, 3]))
    #expect(layer.weight.grad!.values == [3, 0, 3, 0, 3, 0])
    #expect(layer.bias!.grad!.values == [2, 2, 2])
  }

  @Test func linearOfNothing() throws {
    let layer = try Linear(inputs: 2, outputs: 3, generator: generator)
    #expect(try layer(.zeros([0, 2])).shape == [0, 3])
    #expect(try layer(.zeros([2])).shape == [3])
  }

  @Test func linearErrors() throws {
    let layer = try Linear(inputs: 2, outputs: 3, generator: generator)
    #expect(
      errorText { _ = try layer(.zeros([4, 5])) }
        == "[linear] shapes [4, 5] and [3, 2]: the input's last axis must have the 2 features that the weight expects"
    )
    #expect(
      errorText { _ = try Linear(inputs: 0, outputs: 3, generator: generator) }
        == "[linear] in_features = 0: must be at least 1")
    #expect(
      errorText { _ = try Linear(weight: .ones([3, 2]), bias: .ones([2])) }
        == "[linear] shapes [3, 2] and [2]: the bias must be [out]")
  }

  @Test func convolutionErrors() throws {
    #expect(
      errorText {
        _ = try Conv2d(inputs: 3, outputs: 0, kernel: (3, 3), generator: generator)
      } == "[conv2d] out_channels = 0: must be at least 1")
    #expect(
      errorText {
        _ = try ConvTranspose2d(
          inputs: 3, outputs: 1, kernel: (3, 3), stride: (0, 1), generator: generator)
      } == "[conv_transpose2d] stride = (0, 1): both must be at least 1")
  }

  @Test func layerNormEqualsPyTorch() throws {
    // LayerNorm(3) with weight [1, 2, -1], bias [0, .5, 1]; (y * cotangent).sum().backward()
    let layer = try LayerNorm([3])
    try layer.load(state: [
      ("weight", Tensor([1, 2, -1], shape: [3])), ("bias", Tensor([0, 0.5, 1], shape: [3])),
    ])
    let x = try Tensor([1, 2, 4, -1, 0, 5], shape: [2, 3]).requiringGrad()
    let y = try layer(x)
    let tolerance: Float = 20 * 0x1p-24
    expectClose(
      y.values,
      [-1.06904137, -0.0345205665, -0.336301804, -0.889000297, -0.516000271, -0.397000313],
      tolerance: tolerance)
    try y.backward(Tensor([1, -1, 2, 0.5, 1, 0], shape: [2, 3]))
    expectClose(
      x.grad!.values,
      [0.687247097, -1.03085971, 0.34361285, -0.291895032, 0.350274414, -0.0583793819],
      tolerance: tolerance)
    expectClose(
      layer.weight.grad!.values, [-1.51354146, -0.240739822, 2.67260361], tolerance: tolerance)
    #expect(layer.bias!.grad!.values == [1.5, 0, 2])
  }

  @Test func layerNormOverSeveralAxes() throws {
    let layer = try LayerNorm([2, 2], epsilon: 1e-12)
    let y = try layer(Tensor([1, 1, 3, 3, 0, 4, 0, 4], shape: [2, 2, 2]))
    #expect(y.values == [-1, -1, 1, 1, -1, 1, -1, 1])
    #expect(
      errorText { _ = try layer(.zeros([2, 3])) }
        == "[layer_norm] shapes [2, 3] and [2, 2]: the input must end with the axes that are normalized over"
    )
  }

  @Test func embeddingReadsRowsAndScattersGradients() throws {
    let layer = try Embedding(weight: Tensor([1, 2, 3, 4, 5, 6], shape: [3, 2]))
    let y = try layer(Tensor(codes: [2, 0, 2], shape: [3]))
    #expect(y.values == [5, 6, 1, 2, 5, 6])
    try y.backward(Tensor.ones([3, 2]))
    #expect(layer.weight.grad!.values == [1, 1, 0, 0, 2, 2])
  }

  @Test func batchNormCountsTrainingForwards() throws {
    let layer = try BatchNorm(channels: 2)
    let x = try generator.normal([4, 2])
    _ = try layer(x)
    _ = try layer(x)
    layer.isTraining = false
    let mean = layer.runningMean.values
    _ = try layer(x)
    #expect(layer.batchCount.codes == [2])
    #expect(layer.runningMean.values == mean)
    #expect(throws: VQError.self) { try BatchNorm(channels: 2)(.zeros([1, 2])) }
  }

  @Test func refusedForwardIsNotCounted() throws {
    let layer = try BatchNorm(channels: 2)
    #expect(throws: VQError.self) { try layer(.zeros([4, 3])) }
    #expect(layer.batchCount.codes == [0])
  }

  @Test func dropoutOnlyInTraining() throws {
    let layer = try Dropout(0.25, generator: generator)
    let x = try Tensor.ones([10_000])
    let y = try layer(x).values
    // 1 / (1 - 0.25); four standard errors of the share.
    #expect(y.allSatisfy { $0 == 0 || $0 == 1 / Float(0.75) })
    #expect(abs(Double(y.filter { $0 == 0 }.count) / 10_000 - 0.25) < 0.0174)
    layer.isTraining = false
    #expect(try layer(x) === x)
    #expect(
      errorText { _ = try Dropout(1.5, generator: generator) }
        == "[dropout] p = 1.5: must be from 0 to 1")
  }

  @Test func activationsCallTheirOperators() throws {
    let x = try Tensor([-1, 0, 2], shape: [3])
    #expect(try ReLU()(x).values == x.relu().values)
    #expect(try GELU()(x).values == x.gelu().values)
    #expect(try SiLU()(x).values == x.silu().values)
    #expect(try Tanh()(x).values == x.tanh().values)
    #expect(try Sigmoid()(x).values == x.sigmoid().values)
    #expect(try Softmax()(x).values == x.softmax().values)
  }

  @Test func shapesOfFlattenPoolingAndUpsampling() throws {
    let x = try Tensor.zeros([2, 4, 6, 3])
    #expect(try Flatten()(x).shape == [2, 72])
    #expect(try Flatten(start: 2)(x).shape == [2, 4, 18])
    #expect(try Flatten()(.zeros([0, 2, 3])).shape == [0, 6])
    #expect(try MaxPool2d(kernel: (2, 3))(x).shape == [2, 2, 2, 3])
    #expect(try AveragePool2d(kernel: (2, 2), stride: (1, 1))(x).shape == [2, 3, 5, 3])
    #expect(try Upsample(scaleFactor: [1.5])(x).shape == [2, 6, 9, 3])
    #expect(
      errorText { _ = try Flatten()(.zeros([3])) } == "[flatten] shape [3]: an axis 1 is required")
  }

  @Test func residualAddsAndKeepsTheShape() throws {
    #expect(try Residual(ReLU())(Tensor([-1, 2], shape: [2])).values == [-1, 4])
    #expect(
      errorText { _ = try Residual(Flatten())(.zeros([1, 2, 1])) }
        == "[residual] shapes [1, 2, 1] and [1, 2]: the body must keep the shape")
  }
}
