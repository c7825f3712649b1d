import Testing
import VQTesting

@testable import VQQuantizers

/// One subset of the options.
struct Options: CustomTestStringConvertible, Sendable {
  let bits: Int

  private static let names = [
    "affine", "groups", "sync", "inplace", "replace", "kmeans", "norm", "codebookNorm",
  ]

  func has(_ name: String) -> Bool { bits >> Options.names.firstIndex(of: name)! & 1 == 1 }

  var testDescription: String { Options.names.filter(has).joined(separator: "+") }

  /// A small layer with these options, its affine map away from the identity.
  func layer(seed: UInt64 = 1) throws -> VectorQuant {
    var options = VectorQuantOptions(featureSize: 3, codeCount: 12)
    options.seed = seed
    options.beta = 0.8
    if has("affine") { options.affineLearningRate = 2 }
    if has("groups") { (options.affineGroups, options.affineLearningRate) = (3, 2) }
    if has("sync") { options.syncNu = 0.5 }
    if has("replace") { options.replaceFrequency = 2 }
    if has("kmeans") { options.start = .kMeans }
    if has("norm") { options.norm = .l2 }
    if has("codebookNorm") { options.codebookNorm = .l2 }
    if has("inplace") {
      options.innerSteps = 2
      options.outerSteps = 2
    }
    let layer = try VectorQuant(options)
    if let scale = layer.affineScale, let bias = layer.affineBias {
      scale.setValues(try sample(scale.shape, seed: 2, scale: 0.1).values)
      bias.setValues(try sample(bias.shape, seed: 3, scale: 0.1).values)
    }
    if has("inplace") {
      layer.inplaceOptimizer = try SGD([layer.codebook], learningRate: 0.5, momentum: 0.9)
    }
    return layer
  }
}

/// A layer, a parameter before it and the outer optimizer of both.
private final class Run {
  let layer: VectorQuant
  let weight: Tensor
  let outer: Optimizer
  let x: Tensor
  let target: Tensor
  var losses: [Float] = []

  init(_ options: Options, seed: UInt64 = 1) throws {
    layer = try options.layer(seed: seed)
    weight = try sample([3, 3], seed: 4).requiringGrad()
    outer = try AdamW([weight] + layer.trainableParameters.map(\.tensor), learningRate: 0.02)
    x = try sample([90, 3], seed: 5)
    target = try sample([90, 3], seed: 6)
  }

  func step() throws {
    outer.zeroGrad()
    let result = try layer.quantize(x.matmul(weight))
    let loss = try (result.zq - target).square().mean() + result.loss
    try loss.backward()
    try outer.step()
    losses.append(try loss.item())
  }

  /// Everything that a checkpoint holds.
  func state() throws -> [NamedTensor] {
    var tensors = layer.state + [("weight", weight)]
    tensors += try outer.state.map { ("outer.\($0.name)", $0.tensor) }
    tensors += try layer.inplaceOptimizer?.state.map { ("inner.\($0.name)", $0.tensor) } ?? []
    return try tensors.map { ($0.name, try $0.tensor.copied()) }
  }

  func load(_ state: [NamedTensor]) throws {
    func part(_ prefix: String) -> [NamedTensor] {
      state.filter { $0.name.hasPrefix(prefix) }
        .map { (String($0.name.dropFirst(prefix.count)), $0.tensor) }
    }
    let names = Set(layer.state.map(\.name))
    try layer.load(state: state.filter { names.contains($0.name) })
    weight.setValues(state.first { $0.name == "weight" }!.tensor.values)
    try outer.load(state: part("outer."))
    try layer.inplaceOptimizer?.load(state: part("inner."))
  }
}

@Suite struct VectorQuantCompositionTests {
  @Test(arguments: (0..<256).map(Options.init))
  func everyOptionWithEveryOther(options: Options) throws {
    let run = try Run(options)
    for _ in 0..<6 { try run.step() }
    #expect(run.losses.allSatisfy { $0.isFinite })

    let layer = run.layer
    for (_, tensor) in layer.state { #expect(tensor.values.allSatisfy { $0.isFinite }) }
    layer.isTraining = false
    let before = layer.snapshot
    let z = try run.x.matmul(run.weight)
    let result = try layer.quantize(z)
    let codes = try layer.encode(z)
    #expect(codes.codes == result.q.codes)
    #expect(try layer.decode(codes).values == result.zq.values)
    #expect(layer.snapshot == before)
    #expect(
      codes.codes == nearestByDefinition(result.z, try layer.effectiveCodebook()).codes)
  }

  /// In training, `decode` on the codebook that the output was read from.
  @Test(arguments: [0, 1, 3, 8, 9, 15, 0b1100_0000, 0b1100_1001].map(Options.init))
  func trainingOutputIsDecodedCodes(options: Options) throws {
    let layer = try options.layer()
    let result = try layer.quantize(sample([30, 3], seed: 7))
    #expect(try layer.decode(result.q).values == result.zq.values)
  }

  /// A checkpoint in the middle changes no bit of what follows, whatever seed the new layer had.
  @Test(arguments: [0, 0b0011_1101, 0b1111_1111, 0b0011_0000, 0b0000_1100].map(Options.init))
  func resumesBitForBit(options: Options) throws {
    let whole = try Run(options)
    for _ in 0..<5 { try whole.step() }
    let checkpoint = try whole.state()
    for _ in 0..<5 { try whole.step() }

    let resumed = try Run(options, seed: 99)
    try resumed.load(checkpoint)
    for _ in 0..<5 { try resumed.step() }
    #expect(resumed.losses == Array(whole.losses[5...]))
    #expect(resumed.layer.snapshot == whole.layer.snapshot)
    #expect(resumed.weight.values == whole.weight.values)
  }

  @Test(arguments: [0, 0b0011_1101, 0b1111_1111].map(Options.init))
  func sameForEveryThreadCount(options: Options) throws {
    func train(_ threads: Int) throws -> [String] {
      try withThreads(threads) {
        let layer = try options.layer()
        let z = try sample([4000, 3], seed: 8)
        for _ in 0..<4 {
          let result = try layer.quantize(z)
          try (result.zq.sum() + result.loss).backward()
        }
        return layer.snapshot + ["\(layer.codebook.grad?.values ?? [])"]
      }
    }
    let (one, two) = (try train(1), try train(2))
    #expect(one == two)
  }
}
