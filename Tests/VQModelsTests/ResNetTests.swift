import Testing
import VQTesting
import VQNN
import VQTensor

@testable import VQModels

@Suite struct ResNetTests {
  private func model(
    channels: Int = 3, classes: Int = 10, smallImages: Bool = false, seed: UInt64 = 1
  ) throws -> ResNet50 {
    try ResNet50(
      channels: channels, classes: classes, smallImages: smallImages,
      generator: Generator(seed: seed))
  }

  private func count(_ tensors: [NamedTensor]) -> Int { tensors.reduce(0) { $0 + $1.tensor.count } }

  @Test func parameterCountEqualsTorchvision() throws {
    let model = try model(classes: 1000)
    #expect(count(model.namedParameters) == 25_557_032)
    // 53 norms of 26,560 channels in all, each with its batch count.
    #expect(count(model.namedBuffers) == 2 * 26_560 + 53)
  }

  @Test func smallStemReplacesTheKernelOnly() throws {
    let (large, small) = (try model(channels: 4), try model(channels: 4, smallImages: true))
    #expect(large.conv1.weight.shape == [64, 4, 7, 7])
    #expect(small.conv1.weight.shape == [64, 4, 3, 3])
    #expect(large.state.map(\.name) == small.state.map(\.name))
    #expect(
      large.state.dropFirst().map(\.tensor.shape) == small.state.dropFirst().map(\.tensor.shape))
  }

  @Test func namesAreThoseOfTorchvision() throws {
    let names = try model().state.map(\.name)
    #expect(names.count == 320)
    #expect(Set(names).count == names.count)
    let block = ["conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var"]
    #expect(Array(names.prefix(5)) == block)
    #expect(Array(names.suffix(2)) == ["fc.weight", "fc.bias"])
    for name in [
      "bn1.num_batches_tracked", "layer1.0.downsample.0.weight",
      "layer1.0.downsample.1.running_var",
      "layer1.2.bn3.bias", "layer2.3.conv2.weight", "layer3.5.conv3.weight", "layer4.2.bn3.weight",
      "layer4.0.downsample.1.num_batches_tracked",
    ] {
      #expect(names.contains(name), "\(name)")
    }
    // Only the first block of a stage changes the shape.
    #expect(names.filter { $0.hasSuffix("downsample.0.weight") }.count == 4)
  }

  @Test func theWalkFindsEveryConvolution() throws {
    func modules(_ module: Module) -> [Module] {
      [module] + module.children.flatMap { modules($0.module) }
    }
    let all = try modules(model())
    #expect(all.count { $0 is Conv2d } == 53)
    #expect(all.count { $0 is BatchNorm } == 53)
    #expect(all.count { $0 is Bottleneck } == 16)
    #expect(all.allSatisfy { ($0 as? Conv2d)?.bias == nil })
  }

  @Test func theStrideStandsInTheThreeByThreeConvolution() throws {
    let block = try Bottleneck(inputs: 6, width: 2, stride: 2, generator: Generator(seed: 1))
    #expect([block.conv1, block.conv2, block.conv3].map(\.options.stride.0) == [1, 2, 1])
    #expect(try block(Generator(seed: 2).normal([2, 5, 8, 6])).shape == [2, 3, 4, 8])
  }

  @Test func aBlockThatKeepsTheShapeAddsItsInput() throws {
    let block = try Bottleneck(inputs: 8, width: 2, generator: Generator(seed: 1))
    #expect(block.downsample == nil)
    try block.bn3.weight.assign(Tensor.zeros([8]))
    let x = try Generator(seed: 2).normal([2, 4, 4, 8])
    #expect(try block(x).values == x.relu().values)
  }

  @Test func aBlockEqualsItsPlainComposition() throws {
    let block = try Bottleneck(inputs: 4, width: 3, stride: 2, generator: Generator(seed: 1))
    for (index, (_, parameter)) in block.namedParameters.enumerated() where parameter.rank == 1 {
      try parameter.assign(Generator(seed: UInt64(10 + index)).normal(parameter.shape))
    }
    let x = try Generator(seed: 2).normal([2, 6, 6, 4])
    let y = try block(x)
    var plain = try block.bn1(block.conv1(x)).relu()
    plain = try block.bn2(block.conv2(plain)).relu()
    plain = try (block.bn3(block.conv3(plain)) + block.downsample!(x)).relu()
    // One pass of a norm with ReLU or two round the same sums once or twice.
    for (a, b) in zip(y.values, plain.values) {
      #expect(abs(a - b) <= 100 * 0x1p-24 * max(1, abs(b)))
    }
  }

  @Test func weightsBeginAsTorchvisions() throws {
    let model = try model()
    for (name, parameter) in model.namedParameters where parameter.rank == 4 {
      let shape = parameter.shape
      let expected = (2 / Float(shape[0] * shape[2] * shape[3])).squareRoot()
      let deviation = try parameter.variance().item().squareRoot()
      // A sample's deviation over n values varies by 1 / sqrt(2n); six of those.
      let tolerance = 6 / Float(2 * parameter.count).squareRoot()
      #expect(abs(deviation / expected - 1) <= tolerance, "\(name)")
    }
    for (name, parameter) in model.namedParameters where name.contains("bn") {
      let value: Float = name.hasSuffix("weight") ? 1 : 0
      #expect(parameter.values.allSatisfy { $0 == value }, "\(name)")
    }
    #expect(model.fc.weight.values.allSatisfy { abs($0) <= 1 / Float(2048).squareRoot() })
  }

  @Test(arguments: [(false, [3, 8, 5, 3]), (true, [1, 9, 1, 3])])
  func logitsInBothModes(_ smallImages: Bool, _ shape: [Int]) throws {
    let model = try model(smallImages: smallImages)
    let images = try Generator(seed: 2).uniform(shape)
    #expect(try model(images).shape == [shape[0], 10])
    model.isTraining = false
    let logits = try model(images)
    #expect(logits.shape == [shape[0], 10])
    #expect(logits.values.allSatisfy { $0.isFinite })
  }

  @Test(arguments: [[1, 1, 1, 3], [1, 32, 32, 3], [0, 64, 64, 3]])
  func evaluationTakesOneImageOfOnePixelAndNone(_ shape: [Int]) throws {
    let model = try model()
    model.isTraining = false
    #expect(try model(Generator(seed: 2).uniform(shape)).shape == [shape[0], 10])
  }

  @Test func gradientReachesEveryParameter() throws {
    let model = try model()
    let images = try Generator(seed: 2).uniform([8, 8, 8, 3])
    let labels = try Tensor(codes: [0, 3, 9, 1, 5, 2, 7, 4], shape: [8])
    try model(images).crossEntropy(labels).backward()
    for (name, parameter) in model.namedParameters {
      let gradient = try #require(parameter.grad, "\(name)")
      let length = try gradient.square().sum().item()
      #expect(length.isFinite && length > 0, "\(name)")
    }
  }

  @Test func sameSeedGivesTheSameModel() throws {
    let (a, b, c) = (try model(), try model(), try model(seed: 2))
    func last(_ model: ResNet50) -> [Float] { model.fc.bias!.values }
    #expect(a.conv1.weight.values == b.conv1.weight.values)
    #expect(a.conv1.weight.values != c.conv1.weight.values)
    #expect(last(a) == last(b))
    #expect(last(a) != last(c))
  }

  @Test func sizesThatDoNotFit() {
    #expect(
      errorText { _ = try model(channels: 0) } == "[resnet50] channels = 0: must be at least 1")
    #expect(
      errorText { _ = try model(classes: -1) } == "[resnet50] classes = -1: must be at least 1")
  }

  @Test(arguments: [
    ([2, 64, 64, 1], "[conv2d] "), ([64, 64, 3], "[resnet50] "), ([2, 0, 64, 3], "[resnet50] "),
    ([2, 64, 0, 3], "[resnet50] "), ([1, 32, 32, 3], "[resnet50] "),
    ([0, 64, 64, 3], "[batch_norm] "),
  ])
  func imagesThatDoNotFit(_ shape: [Int], _ operation: String) throws {
    let model = try model()
    let before = model.bn1.runningMean.values
    let text = errorText { _ = try model(Tensor.zeros(shape)) }
    #expect(text.hasPrefix(operation), "\(text)")
    #expect(text.contains("\(shape[0]), "), "\(text)")
    #expect(model.bn1.runningMean.values == before)
  }

  @Test func oneImageOfOneVectorCannotTrain() {
    #expect(
      errorText { _ = try model(smallImages: true)(Tensor.zeros([1, 8, 8, 3])) }
        == "[resnet50] shape [1, 8, 8, 3]: training with one image needs a side above 8: "
        + "batch norm needs two values a channel")
  }
}
