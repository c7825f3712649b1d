import Testing
import VQTesting

@testable import VQMetrics
@testable import VQQuantizers

@Suite struct ActivationProbabilityTests {
  @Test func handValues() throws {
    func probability(_ atLeast: Int) throws -> Double {
      // Four vectors of an 8 x 8 image after two poolings, two codes.
      try activationProbability(
        codeCount: 2, batchSize: 1, height: 8, width: 8, poolLayers: 2, atLeast: atLeast)
    }
    let expected = [1, 15.0 / 16, 11.0 / 16, 5.0 / 16, 1.0 / 16, 0]
    for (atLeast, value) in expected.enumerated() {
      #expect(abs(try probability(atLeast) - value) <= 16 * Double.ulpOfOne)
    }
  }

  @Test(arguments: [1, 2, 3, 7, 12, 20])
  func isTheBinomialTail(_ atLeast: Int) throws {
    // 20 vectors, 3 codes: sums of exact products of the other side.
    let (n, p) = (20, 1.0 / 3)
    var (term, below) = (1.0, 0.0)
    for _ in 0..<n { term *= 1 - p }
    for j in 0..<atLeast {
      below += term
      term *= Double(n - j) / Double(j + 1) * p / (1 - p)
    }
    let found = try activationProbability(
      codeCount: 3, batchSize: 5, height: 2, width: 2, atLeast: atLeast)
    #expect(abs(found - (1 - below)) <= 100 * Double.ulpOfOne)
  }

  /// P(X >= n) = p^n would be lost as 1 - (1 - p^n).
  @Test func smallTailsKeepTheirDigits() {
    let found = binomialTail(trials: 16, probability: 1.0 / 1024, atLeast: 16)
    #expect(abs(found / 0x1p-160 - 1) < 1e-13)
  }

  @Test func poolingDropsWhatDoesNotFillAWindow() throws {
    let odd = try activationProbability(
      codeCount: 9, batchSize: 2, height: 7, width: 5, poolLayers: 1)
    #expect(try odd == activationProbability(codeCount: 9, batchSize: 2, height: 3, width: 2))
    #expect(try activationProbability(codeCount: 1, batchSize: 1, height: 1, width: 1) == 1)
  }

  @Test func refusesImpossibleSizes() {
    func text(_ k: Int, _ b: Int, _ h: Int, _ w: Int, _ pools: Int, _ atLeast: Int) -> String {
      errorText {
        try activationProbability(
          codeCount: k, batchSize: b, height: h, width: w, poolLayers: pools, atLeast: atLeast)
      }
    }
    #expect(text(0, 1, 1, 1, 0, 1) == "[activation_probability] num_codes = 0: must be at least 1")
    #expect(text(1, 0, 1, 1, 0, 1) == "[activation_probability] batch_size = 0: must be at least 1")
    #expect(text(1, 1, 1, -3, 0, 1) == "[activation_probability] width = -3: must be at least 1")
    #expect(
      text(1, 1, 1, 1, -1, 1) == "[activation_probability] pool_layers = -1: must be at least 0")
    #expect(text(1, 1, 1, 1, 0, -1) == "[activation_probability] at_least = -1: must be at least 0")
    #expect(
      text(1, 1, 8, 4, 3, 1)
        == "[activation_probability] pool_layers = 3: a 8 x 4 image has no pixel left")
    #expect(
      text(1, 1 << 62, 4, 4, 0, 1)
        == "[activation_probability] sizes [4611686018427387904, 4, 4]: their product does not fit in memory"
    )
  }
}
