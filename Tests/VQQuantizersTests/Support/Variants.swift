import Testing
import VQTesting

@testable import VQQuantizers

/// Options that change what a training step does.
struct Variant: CustomTestStringConvertible, Sendable {
  let testDescription: String
  let isInplace: Bool
  let change: @Sendable (inout VectorQuantOptions) -> Void

  init(
    _ name: String, isInplace: Bool = false,
    _ change: @escaping @Sendable (inout VectorQuantOptions) -> Void = { _ in }
  ) {
    testDescription = name
    self.isInplace = isInplace
    self.change = change
  }

  /// 6 elements, 8 codes, beta 0.7 and the variant's own.
  var options: VectorQuantOptions {
    var options = VectorQuantOptions(featureSize: 6, codeCount: 8)
    options.beta = 0.7
    change(&options)
    return options
  }

  static let all: [Variant] = [
    Variant("plain"),
    Variant("learned affine") { ($0.affineLearningRate, $0.affineGroups) = (2, 2) },
    Variant("moments") { ($0.affine, $0.affineGroups) = (.ema, 2) },
    Variant("synchronized") { $0.syncNu = 0.5 },
    Variant("in-place", isInplace: true) { $0.innerSteps = 2 },
    Variant("in-place, synchronized, affine, regularized", isInplace: true) {
      ($0.syncNu, $0.affineLearningRate, $0.outerSteps) = (0.5, 2, 2)
      ($0.orthogonalWeight, $0.entropyWeight) = (0.3, 0.2)
    },
    Variant("in-place, reassigned, moments", isInplace: true) {
      ($0.affine, $0.reassign) = (.ema, true)
    },
    Variant("EMA") { $0.emaDecay = 0.8 },
    Variant("EMA, moments, replaced") {
      ($0.emaDecay, $0.affine, $0.replaceFrequency) = (0.8, .ema, 1)
    },
    Variant("replaced") { $0.replaceFrequency = 2 },
    Variant("k-means, again") { ($0.start, $0.kMeansFrequency) = (.kMeans, 2) },
    Variant("k-means++") { $0.start = .plusPlus },
    Variant("rotation") { $0.gradient = .rotation },
    Variant("directional") { $0.gradient = .directional },
    Variant("SimVQ") { ($0.isSimVQ, $0.syncNu, $0.replaceFrequency) = (true, 0.5, 2) },
    Variant("l2") { $0.norm = .l2 },
    Variant("clamped") { ($0.norm, $0.codebookNorm, $0.maximumNorm) = (.l2c, .l2c, 1) },
    Variant("batch norm") { $0.norm = .batch },
    Variant("group norm") { ($0.norm, $0.normGroups) = (.group, 1) },
    Variant("instance norm") { $0.norm = .instance },
    Variant("code size") { ($0.codeSize, $0.norm, $0.codebookNorm) = (3, .l2, .l2) },
    Variant("stochastic") { ($0.temperature, $0.temperatureDecay) = (0.5, 0.9) },
    Variant("regularized") { ($0.orthogonalWeight, $0.entropyWeight) = (0.3, 0.2) },
  ]
}

extension Variant {
  /// Those of each kernel that sums over vectors.
  static let threaded = all.filter {
    [
      "in-place, synchronized, affine, regularized", "EMA, moments, replaced", "SimVQ",
      "directional", "batch norm", "stochastic",
    ].contains($0.testDescription)
  }
}

extension CodebookQuantizer {
  /// The layers whose codebooks vectors are assigned to.
  var vectorQuants: [VectorQuant] { holders as! [VectorQuant] }

  /// Gives every codebook an in-place optimizer of its own.
  func stepInPlace(learningRate: Double = 0.3, momentum: Double = 0.5) throws {
    for layer in vectorQuants {
      layer.inplaceOptimizer = try SGD(
        [layer.codebook], learningRate: learningRate, momentum: momentum)
    }
  }

  /// The state without the number of the only group or stage.
  var plainSnapshot: Set<String> {
    Set(snapshot.map { $0.hasPrefix("0.") ? String($0.dropFirst(2)) : $0 })
  }
}

extension Quantized {
  /// The bits of everything in it, codes and distances flat.
  var bits: [[UInt32]] { [z.values.map(\.bitPattern)] + outerBits }

  /// The same but for the vectors as they were compared.
  var outerBits: [[UInt32]] {
    [zq, d, loss, stageLosses, stagePerplexities].map { $0.values.map(\.bitPattern) }
      + [q.codes.map(UInt32.init(bitPattern:))]
      + [[commitmentLoss, codebookLoss, regularization, perplexity].map(\.bitPattern)]
  }
}

/// Steps of gradient descent on `quantizer` and the vectors before it, [4, 10, 6]: the bits of
/// every output and of the vectors' gradients.
@discardableResult func train(
  _ quantizer: CodebookQuantizer, isInplace: Bool, steps: Int = 4, comparesInside: Bool = true
) throws -> [[UInt32]] {
  if isInplace { try quantizer.stepInPlace() }
  let parameters = quantizer.trainableParameters.map(\.tensor)
  let outer = try parameters.isEmpty ? nil : SGD(parameters, learningRate: 0.1)
  let z = try sample([4, 10, 6], seed: 1).requiringGrad()
  let vectors = try SGD([z], learningRate: 0.5)
  let target = try sample([4, 10, 6], seed: 2)
  var record: [[UInt32]] = []
  for _ in 0..<steps {
    outer?.zeroGrad()
    vectors.zeroGrad()
    let result = try quantizer.quantize(z)
    try ((result.zq - target).square().mean() + result.loss).backward()
    record += comparesInside ? result.bits : result.outerBits
    record += [z.grad!.values.map(\.bitPattern)]
    try outer?.step()
    try vectors.step()
  }
  return record
}
