import Testing
import VQTesting

@testable import VQMetrics
@testable import VQQuantizers

@Suite struct CodeUsageTests {
  private func usage(_ codes: [Int32], of k: Int) throws -> CodeUsage {
    var usage = try CodeUsage(codeCount: k)
    try usage.update(Tensor(codes: codes, shape: [codes.count]))
    return usage
  }

  @Test(arguments: [1, 3, 8])
  func equalUseHasThePerplexityOfItsCodes(_ m: Int) throws {
    let usage = try usage((0..<4 * m).map { Int32($0 % m) }, of: 9)
    #expect(abs(try usage.perplexity() - Double(m)) <= Double(m) * 8 * Double.ulpOfOne)
    #expect(usage.activeCodes == m)
  }

  @Test func handValue() throws {
    // Shares 1/2, 1/4, 1/4: H = 1.5 bits.
    let usage = try usage([2, 2, 0, 4], of: 5)
    #expect(usage.counts == [1, 0, 2, 0, 1])
    #expect(try usage.probabilities() == [0.25, 0, 0.5, 0, 0.25])
    #expect(abs(try usage.perplexity() - 2.8284271247461903) < 1e-14)
  }

  @Test func batchesAddUpAndMaskedCodesCountNowhere() throws {
    var whole = try CodeUsage(codeCount: 4)
    try whole.update(Tensor(codes: [0, -1, 3], shape: [3, 1]))
    try whole.update(Tensor(codes: [], shape: [0]))
    try whole.update(Tensor(codes: [3, -1], shape: [2]))
    #expect(whole.counts == [1, 0, 0, 2])
    #expect(try whole.perplexity() == usage([0, 3, 3], of: 4).perplexity())
  }

  @Test func refusesWhatItCannotCount() throws {
    var usage = try CodeUsage(codeCount: 3)
    #expect(
      errorText { try usage.perplexity() }
        == "[code_usage] shape [0] has no elements: at least one code that is not masked is required"
    )
    #expect(
      errorText { try usage.update(Tensor(codes: [0, 3], shape: [2])) }
        == "[code_usage] index 3 is outside 0..<3")
    #expect(
      errorText { try usage.update(Tensor(codes: [0, -2], shape: [2])) }
        == "[code_usage] index -2 is outside 0..<3")
    #expect(
      errorText { try usage.update(Tensor([0], shape: [1])) }
        == "[code_usage] dtype float32: codes must be int32")
    #expect(usage.counts == [0, 0, 0])
    #expect(
      errorText { try CodeUsage(codeCount: 0) }
        == "[code_usage] num_codes = 0: must be at least 1 and fit in int32")
    #expect(
      errorText { try CodeUsage(counts: [1, -1]) }
        == "[code_usage] count = -1: must be at least 0")
  }
}
