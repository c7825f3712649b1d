import Testing

@testable import VQNN
@testable import VQTensor

@Suite struct NetworkTests {
  /// Conv2d(1, 2, 3, padding=1), BatchNorm2d(2), ReLU(), ConvTranspose2d(2, 1, 2, stride=2); the
  /// parameters are `sin(arange(n) + i)` with i = 0, 10, 20, ... in the order of names.
  private func network() throws -> Sequential {
    let generator = Generator(seed: 1)
    let network = Sequential(
      try Conv2d(inputs: 1, outputs: 2, kernel: (3, 3), padding: (1, 1), generator: generator),
      try BatchNorm(channels: 2), ReLU(),
      try ConvTranspose2d(
        inputs: 2, outputs: 1, kernel: (2, 2), stride: (2, 2), generator: generator))
    for (index, (_, tensor)) in network.namedParameters.enumerated() {
      try tensor.assign(sines(tensor.shape, start: 10 * index))
    }
    return network
  }

  /// `cos(arange(16))` as [1, 4, 4, 1].
  private func image() throws -> Tensor {
    try Tensor((0..<16).map { Float(sine(Double($0) + .pi / 2)) }, shape: [1, 4, 4, 1])
  }

  @Test func convolutionalNetworkEqualsPyTorch() throws {
    let network = try network()
    let y = try network(image())
    // Sums of at most 18 terms below 1, twice, with a normalization between.
    let tolerance: Float = 100 * 0x1p-24
    expectClose(
      Array(y.values.prefix(4)), [-0.26133588, -0.212433577, -0.262374848, -0.262374848],
      tolerance: tolerance)
    let loss = try y.square().mean()
    #expect(abs(try loss.item() - 0.102893732) <= tolerance)
    try loss.backward()
    let expected: [(String, [Float])] = [
      ("0.weight", [-0.00129039073, -0.00668866001, -0.00358695351]), ("0.bias", [0, 0]),
      ("1.weight", [0.133965597, 0.115066409]), ("1.bias", [0.0891089961, 0.06396465]),
      ("3.weight", [0.00148524833, -0.0094359424, -0.0185947679]), ("3.bias", [-0.385326117]),
    ]
    for ((name, values), (found, tensor)) in zip(expected, network.namedParameters) {
      #expect(name == found)
      expectClose(Array(tensor.grad!.values.prefix(values.count)), values, tolerance: tolerance)
    }
    expectClose(
      network.namedBuffers[0].tensor.values, [-0.0552809238, -0.103011034], tolerance: tolerance)
    expectClose(
      network.namedBuffers[1].tensor.values, [1.26734655, 1.18307686], tolerance: tolerance)
  }

  /// Bit for bit, gradients too, for windows with and without an operator of their own.
  @Test(
    arguments: [(6, 4, 2, 2), (7, 5, 2, 2), (6, 6, 2, 1), (6, 6, 3, 3), (7, 7, 3, 2)],
    [true, false]
  )
  func rectifiedPoolEqualsReLUThenPool(
    sizes: (height: Int, width: Int, kernel: Int, stride: Int), isMaximum: Bool
  ) throws {
    let (height, width) = (sizes.height, sizes.width)
    let generator = Generator(seed: 5)
    var values = try generator.normal([2, height, width, 3]).values
    (values[4], values[9], values[11]) = (.nan, 0, -0.0)
    func run(_ pool: [Module]) throws -> (y: [UInt32], x: [UInt32]) {
      let x = try Tensor(values, shape: [2, height, width, 3]).requiringGrad(.weight)
      let y = try Sequential(pool)(x)
      try y.backward(Generator(seed: 6).normal(y.shape))
      return (y.values.map(\.bitPattern), x.grad!.values.map(\.bitPattern))
    }
    let (kernel, stride) = ((sizes.kernel, sizes.kernel), (sizes.stride, sizes.stride))
    let pool: Module =
      isMaximum
      ? MaxPool2d(kernel: kernel, stride: stride) : AveragePool2d(kernel: kernel, stride: stride)
    let fused = try run([ReLU(), pool])
    let plain = try run([ReLU(), Identity(), pool])
    #expect(fused.y == plain.y)
    #expect(fused.x == plain.x)
  }

  @Test(arguments: [true, false])
  func fusedNormEqualsNormThenReLU(_ training: Bool) throws {
    func run(_ layers: [Module]) throws -> (y: [Float], x: [Float], weight: [Float], bias: [Float])
    {
      let network = Sequential(layers)
      network.isTraining = training
      let x = try Generator(seed: 6).normal([5, 3]).requiringGrad()
      let y = try network(x)
      try y.backward(Generator(seed: 7).normal([5, 3]))
      let parameters = network.namedParameters.map { $0.tensor.grad!.values }
      return (y.values, x.grad!.values, parameters[0], parameters[1])
    }
    func norm() throws -> BatchNorm {
      let norm = try BatchNorm(channels: 3)
      try norm.weight.assign(Generator(seed: 8).normal([3]))
      try norm.bias.assign(Generator(seed: 9).normal([3]))
      return norm
    }
    let fused = try run([norm(), ReLU()])
    let plain = try run([norm(), Identity(), ReLU()])
    let tolerance: Float = 10 * 0x1p-24
    expectClose(fused.y, plain.y, tolerance: tolerance)
    expectClose(fused.x, plain.x, tolerance: tolerance)
    expectClose(fused.weight, plain.weight, tolerance: tolerance)
    expectClose(fused.bias, plain.bias, tolerance: tolerance)
  }

  @Test(arguments: ["sgd", "adam", "adamw"])
  func smallNetworkLearns(_ kind: String) throws {
    let generator = Generator(seed: 11)
    let network = Sequential(
      try Linear(inputs: 2, outputs: 16, generator: generator), GELU(),
      try LayerNorm([16]), try Linear(inputs: 16, outputs: 1, generator: generator))
    let parameters = network.namedParameters.map(\.tensor)
    let optimizer: Optimizer
    switch kind {
    case "sgd": optimizer = try SGD(parameters, learningRate: 0.05, momentum: 0.9)
    case "adam": optimizer = try Adam(parameters, learningRate: 0.01)
    default: optimizer = try AdamW(parameters, learningRate: 0.01)
    }
    // Exclusive or, which no linear map fits.
    let x = try Tensor([0, 0, 0, 1, 1, 0, 1, 1], shape: [4, 2])
    let target = try Tensor([0, 1, 1, 0], shape: [4, 1])
    var losses: [Float] = []
    for _ in 0..<200 {
      optimizer.zeroGrad()
      let loss = try network(x).meanSquaredError(target)
      losses.append(try loss.item())
      try loss.backward()
      try optimizer.step()
    }
    #expect(losses.last! < 0.01 && losses.first! > 0.1)
  }

  @Test func checkpointResumesTraining() throws {
    let directory = Directory()
    let path = "\(directory.path)/run.safetensors"
    func make() throws -> (Sequential, AdamW) {
      let generator = Generator(seed: 12)
      let network = Sequential(
        try Linear(inputs: 2, outputs: 8, generator: generator), try BatchNorm(channels: 8), ReLU(),
        try Dropout(0.5, generator: Generator(seed: 13)),
        try Linear(inputs: 8, outputs: 1, generator: generator))
      return (network, try AdamW(network.namedParameters.map(\.tensor), learningRate: 0.1))
    }
    func train(_ network: Sequential, _ optimizer: AdamW, _ steps: Range<Int>) throws {
      for step in steps {
        optimizer.zeroGrad()
        try network(Generator(seed: 14, stream: UInt64(step)).normal([6, 2]))
          .meanSquaredError(.ones([6, 1])).backward()
        try optimizer.step()
      }
    }
    let (network, optimizer) = try make()
    try train(network, optimizer, 0..<3)
    func under(_ prefix: String, _ state: [NamedTensor]) -> [NamedTensor] {
      state.map { ("\(prefix).\($0.name)", $0.tensor) }
    }
    try Checkpoint.save(
      under("model", network.state) + under("optim", optimizer.state)
        + under("rng", network.generatorStates), to: path)
    try train(network, optimizer, 3..<6)

    let (resumed, second) = try make()
    let saved = try Checkpoint.load(path).tensors
    func of(_ prefix: String) -> [NamedTensor] {
      saved.filter { $0.name.hasPrefix(prefix + ".") }
        .map { (String($0.name.dropFirst(prefix.count + 1)), $0.tensor) }
    }
    try resumed.load(state: of("model"))
    try second.load(state: of("optim"))
    try resumed.load(generatorStates: of("rng"))
    try train(resumed, second, 3..<6)
    for (a, b) in zip(network.state, resumed.state) { #expect(a.tensor.values == b.tensor.values) }
  }
}
