import Testing
import VQTesting

@testable import VQQuantizers

/// `isQuantizing = false`: vectors pass, compared and counted but unchanged.
@Suite struct PassThroughTests {
  private func quantizers(_ variant: Variant) throws -> [CodebookQuantizer] {
    let options = variant.options
    return [
      try VectorQuant(options), try GroupVectorQuant(options, groups: 1),
      try ResidualVectorQuant(options, stages: 2),
    ]
  }

  @Test(arguments: Variant.all) func changesNoState(variant: Variant) throws {
    for quantizer in try quantizers(variant) {
      if variant.isInplace { try quantizer.stepInPlace() }
      let z = try sample([2, 10, 6], seed: 1).requiringGrad()
      if [.kMeans, .plusPlus].contains(variant.options.start) {
        // Vectors that pass, or are refused, are not those of the start.
        quantizer.isQuantizing = false
        let waiting = quantizer.snapshot
        _ = try? quantizer.quantize(z)
        #expect(errorText { try quantizer.encode(z) }.contains("waits for its start"))
        #expect(quantizer.snapshot == waiting)
        quantizer.isQuantizing = true
        _ = try quantizer.quantize(sample([30, 6], seed: 4))
      }
      quantizer.isQuantizing = false
      let before = quantizer.snapshot
      let result = try quantizer.quantize(z)
      #expect(quantizer.snapshot == before)
      #expect(result.zq.shape == z.shape)
      #expect(result.activeCodes >= 1 && result.perplexity >= 1)
      #expect(result.q.codes == (try quantizer.encode(z).codes))
      #expect(try result.loss.item() == 0)
      #expect(!result.loss.requiresGrad)
      try result.zq.sum().backward()
      #expect(
        quantizer.vectorQuants.allSatisfy { layer in
          layer.ownParameters.allSatisfy { ($0.tensor.grad?.values ?? [0]).allSatisfy { $0 == 0 } }
        })
      #expect(z.grad!.values.allSatisfy { $0.isFinite })
      quantizer.isQuantizing = true
      #expect(try quantizer.quantize(z).loss.item() != 0)
    }
  }

  /// Without norm and projection the output is z, with the gradient g.
  @Test(arguments: [0, 1, 2]) func vectorsPassUnchanged(kind: Int) throws {
    let quantizer = try quantizers(Variant.all[3])[kind]
    quantizer.isQuantizing = false
    let z = try sample([9, 6], seed: 2).requiringGrad()
    let g = try sample([9, 6], seed: 3)
    let result = try quantizer.quantize(z)
    #expect(result.zq.values == z.values)
    try result.zq.backward(g)
    #expect(z.grad!.values == g.values)
    #expect(result.commitmentLoss == 0 && result.codebookLoss == 0)
    // Distances are those to the codes that the vectors would have.
    quantizer.isQuantizing = true
    quantizer.isTraining = false
    let quantized = try quantizer.quantize(z)
    #expect(isClose(result.d.values, quantized.d.values, 1e-6))
    #expect(result.q.codes == quantized.q.codes)
    #expect(result.perplexity == quantized.perplexity)
    #expect(result.stagePerplexities.values == quantized.stagePerplexities.values)
  }

  /// Masked vectors are 0 and have no code here too.
  @Test(arguments: [0, 1, 2]) func masksHold(kind: Int) throws {
    let quantizer = try quantizers(Variant.all[0])[kind]
    quantizer.isQuantizing = false
    let z = try Tensor([1, 2, 3, 4, 5, 6, .nan, 0, 0, 0, 0, 0], shape: [2, 6])
    let result = try quantizer.quantize(z, mask: Tensor(codes: [1, 0], shape: [2]))
    #expect(result.zq.values == [1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0])
    #expect(result.q.codes[(result.q.count / 2)...].allSatisfy { $0 == -1 })
  }

  @Test func reachesEveryCodebook() throws {
    for quantizer in try quantizers(Variant.all[0]) {
      quantizer.isQuantizing = false
      #expect(quantizer.vectorQuants.allSatisfy { !$0.isQuantizing })
      quantizer.isQuantizing = true
      #expect(quantizer.vectorQuants.allSatisfy { $0.isQuantizing })
    }
  }
}
