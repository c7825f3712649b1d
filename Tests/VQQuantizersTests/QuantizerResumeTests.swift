import Testing
import VQTesting

@testable import VQQuantizers

/// Checkpoints and thread counts of groups and stages, with every option.
@Suite struct QuantizerResumeTests {
  enum Kind: CaseIterable { case group, sharedGroup, residual, sharedResidual }

  private func make(_ kind: Kind, _ variant: Variant, seed: UInt64) throws -> CodebookQuantizer? {
    var options = variant.options
    options.seed = seed
    switch kind {
    case .group: return try GroupVectorQuant(options, groups: 2)
    case .sharedGroup: return try GroupVectorQuant(options, groups: 2, isShared: true)
    case .residual: return try ResidualVectorQuant(options, stages: 3, dropout: 0.7)
    case .sharedResidual:
      // Stages that share a codebook share its space.
      if options.codeSize != nil { return nil }
      return try ResidualVectorQuant(options, stages: 3, isShared: true, dropout: 0.7)
    }
  }

  private func step(
    _ quantizer: Quantizer, _ variant: Variant, _ range: Range<Int>, rows: Int = 10
  ) throws -> [[UInt32]] {
    let parameters = quantizer.trainableParameters.map(\.tensor)
    let outer = try parameters.isEmpty ? nil : SGD(parameters, learningRate: 0.1)
    return try range.flatMap { step in
      let z = try sample([4, rows, 6], seed: UInt64(step)).requiringGrad()
      outer?.zeroGrad()
      let result = try quantizer.quantize(z)
      try (result.zq.square().mean() + result.loss).backward()
      try outer?.step()
      return result.bits + [z.grad!.values.map(\.bitPattern)]
    }
  }

  @Test(arguments: Variant.all, Kind.allCases)
  func resumesBitForBit(variant: Variant, kind: Kind) throws {
    guard let whole = try make(kind, variant, seed: 0),
      let resumed = try make(kind, variant, seed: 9)
    else { return }
    for quantizer in [whole, resumed] where variant.isInplace { try quantizer.stepInPlace() }
    _ = try step(whole, variant, 0..<3)
    try resumed.load(state: whole.state)
    for (own, other) in zip(resumed.vectorQuants, whole.vectorQuants) {
      if let optimizer = other.inplaceOptimizer {
        try own.inplaceOptimizer?.load(state: optimizer.state)
      }
    }
    #expect(try step(resumed, variant, 3..<6) == step(whole, variant, 3..<6))
    #expect(resumed.snapshot == whole.snapshot)
  }

  /// 8400 vectors of 6 elements are four chunks of 2^14.
  @Test(arguments: Variant.threaded, [Kind.group, .sharedResidual])
  func sameForEveryThreadCount(variant: Variant, kind: Kind) throws {
    func bits(_ threads: Int) throws -> ([[UInt32]], [String])? {
      try withThreads(threads) {
        guard let quantizer = try make(kind, variant, seed: 0) else { return nil }
        if variant.isInplace { try quantizer.stepInPlace() }
        return (try step(quantizer, variant, 0..<2, rows: 2100), quantizer.snapshot)
      }
    }
    guard let one = try bits(1), let three = try bits(3) else { return }
    #expect(one.0 == three.0)
    #expect(one.1 == three.1)
  }
}
