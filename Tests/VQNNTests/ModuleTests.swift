import Testing
import VQTesting

@testable import VQNN
@testable import VQTensor

@Suite struct ModuleTests {
  private func network() throws -> Sequential {
    let generator = Generator(seed: 1)
    return Sequential(
      try Linear(inputs: 2, outputs: 3, generator: generator),
      try BatchNorm(channels: 3),
      Residual(
        Sequential(ReLU(), try Linear(inputs: 3, outputs: 3, bias: false, generator: generator))))
  }

  @Test func namesAreThoseOfPyTorch() throws {
    let network = try network()
    #expect(
      network.state.map(\.name) == [
        "0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var",
        "1.num_batches_tracked", "2.body.1.weight",
      ])
    #expect(
      network.namedParameters.map(\.name)
        == ["0.weight", "0.bias", "1.weight", "1.bias", "2.body.1.weight"])
    #expect(
      network.namedBuffers.map(\.name)
        == ["1.running_mean", "1.running_var", "1.num_batches_tracked"])
  }

  @Test func rolesFollowTheLayer() throws {
    let roles = try network().namedParameters.map { $0.tensor.leaf?.role }
    #expect(roles == [.weight, .bias, .norm, .norm, .weight])
  }

  @Test func trainingReachesEveryDescendant() throws {
    let network = try network()
    network.isTraining = false
    var flags: [Bool] = []
    network.visit { _, module in flags.append(module.isTraining) }
    #expect(flags == [Bool](repeating: false, count: 7))
  }

  @Test func sharedLayerIsOneParameterUnderTwoNames() throws {
    let layer = try Linear(inputs: 2, outputs: 2, bias: false, generator: Generator(seed: 1))
    let network = Sequential(layer, layer)
    #expect(network.namedParameters.map(\.name) == ["0.weight"])
    #expect(network.state.map(\.name) == ["0.weight", "1.weight"])
  }

  @Test func stateRoundTrip() throws {
    let (source, target) = (try network(), try network())
    _ = try source(Generator(seed: 2).normal([4, 2]))
    source.namedParameters[0].tensor.mutate { $0[0] = 7 }
    try target.load(state: source.state)
    for (a, b) in zip(source.state, target.state) {
      #expect(a.tensor.values == b.tensor.values && a.tensor.storage !== b.tensor.storage)
    }
    (source.isTraining, target.isTraining) = (false, false)
    let x = try Generator(seed: 3).normal([4, 2])
    #expect(try source(x).values == target(x).values)
  }

  @Test func stateThatDoesNotFitChangesNothing() throws {
    let network = try network()
    let before = network.state.map(\.tensor.values)
    let zeros: [NamedTensor] = try network.state.map {
      (
        $0.name,
        $0.tensor.dtype == .int32 ? try Tensor(codes: [5], shape: []) : try .zeros($0.tensor.shape)
      )
    }
    func load(_ change: (inout [NamedTensor]) throws -> Void, strict: Bool = true) -> String {
      errorText {
        var state = zeros
        try change(&state)
        try network.load(state: state, strict: strict)
      }
    }
    #expect(
      load { $0.removeLast(2) }
        == "[load_state_dict] missing = 1.num_batches_tracked, 2.body.1.weight: every parameter and buffer must be given"
    )
    #expect(
      load { $0.append(("3.weight", try .ones([1]))) }
        == "[load_state_dict] unexpected = 3.weight: every name must be that of a parameter or buffer"
    )
    #expect(
      load { $0.append($0[0]) }
        == "[load_state_dict] name = 0.weight: every name must be given once")
    let shapeError =
      "[load_state_dict] shapes [3, 2] and [3, 3]: 2.body.1.weight must keep its shape"
    #expect(load { $0[7].tensor = try .ones([3, 2]) } == shapeError)
    #expect(load({ $0[7].tensor = try .ones([3, 2]) }, strict: false) == shapeError)
    #expect(
      load { $0[6].tensor = try .ones([]) }
        == "[load_state_dict] dtypes float32 and int32: 1.num_batches_tracked must keep its dtype")
    #expect(network.state.map(\.tensor.values) == before)
  }

  @Test func lenientLoadPassesOverOtherNames() throws {
    let network = try network()
    let weight = try Tensor.zeros([3, 2])
    try network.load(state: [("0.weight", weight), ("other", weight)], strict: false)
    #expect(network.state[0].tensor.values == weight.values)
  }

  @Test func moduleWithoutForwardSaysSo() throws {
    #expect(
      errorText { _ = try Module()(.zeros([1])) }
        == "[forward] Module defines no forward of one tensor")
  }

  @Test func generatorsResume() throws {
    func make() throws -> Sequential {
      Sequential(try Dropout(0.5, generator: Generator(seed: 1 << 40 + 3, stream: 2)))
    }
    let (source, target) = (try make(), try make())
    let x = try Tensor.ones([100])
    _ = try source(x)
    let state = try source.generatorStates
    #expect(state.map(\.name) == ["0.generator"])
    try target.load(generatorStates: state)
    #expect(try source(x).values == target(x).values)
    #expect(
      errorText { try target.load(generatorStates: []) }
        == "[load_generators] names = : must be 0.generator")
    let other = try Tensor(codes: Generator(seed: 4).stateWords, shape: [6])
    #expect(
      errorText { try target.load(generatorStates: [("0.generator", other)]) }
        == "[load_generators] state = 0.generator: must come from the same seed and stream")
  }

  @Test(arguments: 0..<8)
  func everyStoredTensorIsListed(_ index: Int) throws {
    let generator = Generator(seed: 1)
    let quantized = try Linear(inputs: 2, outputs: 3, generator: generator)
    quantized.weightQuantizer = try BatchNorm(channels: 2)
    let modules: [Module] = [
      quantized,
      try Conv2d(inputs: 2, outputs: 3, kernel: (3, 3), generator: generator),
      try ConvTranspose2d(inputs: 2, outputs: 3, kernel: (3, 3), generator: generator),
      try BatchNorm(channels: 3), try LayerNorm([3]),
      try Embedding(count: 3, features: 2, generator: generator),
      try Dropout(0.5, generator: generator), Residual(Sequential(ReLU(), Identity())),
    ]
    try modules[index].visit { _, module in try expectComplete(module) }
  }

  /// Walks the stored properties: tensors, modules and generators must be among what the module
  /// lists.
  private func expectComplete(_ module: Module) throws {
    func walk(_ value: Any, _ label: String) {
      if let tensor = value as? Tensor {
        let listed = tensor.requiresGrad ? module.ownParameters : module.ownBuffers
        #expect(listed.contains { $0.tensor === tensor }, "\(type(of: module)).\(label)")
      } else if let child = value as? Module {
        #expect(module.children.contains { $0.module === child }, "\(type(of: module)).\(label)")
      } else if let generator = value as? Generator {
        #expect(module.ownGenerators.contains { $0.generator === generator }, "\(label)")
      } else {
        for child in Mirror(reflecting: value).children { walk(child.value, label) }
      }
    }
    var mirror: Mirror? = Mirror(reflecting: module)
    while let level = mirror {
      for property in level.children { walk(property.value, property.label ?? "") }
      mirror = level.superclassMirror
    }
  }
}
