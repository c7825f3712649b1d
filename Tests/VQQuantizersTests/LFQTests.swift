import Glibc
import Testing
import VQTesting

@testable import VQQuantizers

@Suite struct LFQTests {
  private static func layer(
    _ bits: Int, _ change: (inout LFQOptions) -> Void = { _ in }
  ) throws -> LFQ {
    var options = LFQOptions(bits: bits)
    change(&options)
    return try LFQ(options)
  }

  @Test func handValues() throws {
    let layer = try Self.layer(3)
    let result = try layer.quantize(
      Tensor([0.2, -0.1, 0.5, 0, -0.0, .leastNonzeroMagnitude], shape: [2, 3]))
    #expect(result.zq.values == [1, -1, 1, -1, -1, 1])
    #expect(result.q.codes == [5, 1])
    #expect(isClose([result.d.values[0]], [0.64 + 0.81 + 0.25], 0x1p-22))
    #expect(
      try layer.decode(Tensor(codes: [5, -1, 6], shape: [3])).values == [
        1, -1, 1, 0, 0, 0, 1, 1, -1,
      ])
  }

  @Test(arguments: [1, 2, 7, 12]) func everyCodeIsItsOwnDecoding(bits: Int) throws {
    let layer = try Self.layer(bits)
    let codes = try Tensor(codes: (0..<layer.codeCount).map(Int32.init), shape: [layer.codeCount])
    let values = try layer.decode(codes)
    #expect(try layer.encode(values).codes == codes.codes)
    #expect(try layer.quantize(values).zq.values == values.values)
  }

  @Test func thirtyBits() throws {
    let layer = try Self.layer(30) { $0.diversity = 0 }
    let z = try Tensor(
      [Float](repeating: 1, count: 30) + [Float](repeating: -1, count: 30), shape: [2, 30])
    let result = try layer.quantize(z)
    #expect(result.q.codes == [1 << 30 - 1, 0])
    #expect(try layer.decode(result.q).values == z.values)
    #expect(result.perplexity == 2)
  }

  /// `mean_i H(p_i) - diversity H(mean_i p_i)` over all sign vectors in Float64.
  private static func entropies(
    _ z: Tensor, temperature: Double
  ) -> (mean: Double, ofMean: Double) {
    let (n, bits) = (z.shape[0], z.shape[1])
    let codes = 1 << bits
    var (mean, total) = ([Double](repeating: 0, count: codes), 0.0)
    for row in 0..<n {
      let logits = (0..<codes).map { code in
        (0..<bits).reduce(0.0) { sum, bit in
          let sign = code >> (bits - 1 - bit) & 1 == 1 ? 1.0 : -1.0
          return sum + 2 * Double(z.values[row * bits + bit]) * sign / temperature
        }
      }
      let largest = logits.max()!
      let sum = logits.reduce(0) { $0 + exp($1 - largest) }
      for (code, logit) in logits.enumerated() {
        let p = exp(logit - largest) / sum
        if p > 0 { total -= p * log(p) }
        mean[code] += p / Double(n)
      }
    }
    return (total / Double(n), mean.reduce(0) { $1 > 0 ? $0 - $1 * log($1) : $0 })
  }

  @Test(arguments: [1, 2, 3, 8], [Float(0.01), 0.3, 1, 20])
  func lossEqualsReference(bits: Int, temperature: Float) throws {
    let layer = try Self.layer(bits) {
      $0.temperature = temperature
      $0.diversity = 0.7
      $0.commitmentWeight = 0.25
    }
    let z = try sample([40, bits], seed: 1)
    let result = try layer.quantize(z)
    let (mean, ofMean) = Self.entropies(z, temperature: Double(temperature))
    let entropy = 0.1 * (mean - Double(Float(0.7)) * ofMean)
    let error = z.values.reduce(0.0) { $0 + pow(Double(abs($1)) - 1, 2) } / Double(z.count)
    // Logits of size 2 |z| / T carry their rounding into the probabilities.
    let tolerance = Float(0x1p-21) * (1 + 8 * Float(bits) / max(temperature, 1))
    #expect(isClose([result.regularization], [Float(entropy)], tolerance))
    #expect(isClose([result.commitmentLoss], [Float(0.25 * error)], 0x1p-21))
    #expect(
      isClose([try result.loss.item()], [result.regularization + result.commitmentLoss], 0x1p-22))
  }

  @Test(arguments: [1, 2, 5]) func lossGradient(bits: Int) throws {
    let layer = try Self.layer(bits) {
      $0.temperature = 2
      $0.entropyWeight = 1.5
      $0.commitmentWeight = 0.25
    }
    // No element within a step of 0, where the sign of the commitment term turns.
    let z = try gridSample([4, bits], seed: 2)
    let away = try Tensor(z.values.map { abs($0) < 0.1 ? 0.25 : $0 }, shape: z.shape)
    try checkGradient(of: { try layer.quantize($0[0]).loss }, at: [away])
  }

  @Test func outputGradientGoesStraightThrough() throws {
    let layer = try Self.layer(4)
    let cotangent = try sample([5, 4], seed: 3)
    let found = try pullback([sample([5, 4], seed: 4)], cotangent) { try layer.quantize($0[0]).zq }
    #expect(found[1].values == cotangent.values)
  }

  /// The entropy regularizer with the sign vectors as its codebook.
  @Test(arguments: [2, 5, 9]) func equalsTheEntropyRegularizer(bits: Int) throws {
    let layer = try Self.layer(bits) {
      $0.temperature = 1
      $0.entropyWeight = 1
    }
    let signs = try layer.decode(
      Tensor(codes: (0..<layer.codeCount).map(Int32.init), shape: [layer.codeCount]))
    let z = try sample([50, bits], seed: 5)
    let mine = try pullback([z], .ones([])) { try layer.quantize($0[0]).loss }
    let general = try pullback([z], .ones([])) {
      try entropyRegularizer($0[0], signs, temperature: 1, diversity: 1).loss
    }
    #expect(isClose(mine[0].values, general[0].values, 0x1p-19))
    #expect(isClose(mine[1].values, general[1].values, 0x1p-19))
  }

  @Test func sureVectorsOfOneCodeKeepFiniteGradients() throws {
    let layer = try Self.layer(6)
    let z = try Tensor.full([8, 6], 5).requiringGrad()
    let result = try layer.quantize(z)
    #expect(try result.loss.item() == 0)
    try result.loss.backward()
    #expect(z.grad!.values.allSatisfy { $0.isFinite })
  }

  struct Bad: CustomTestStringConvertible {
    var bits = 4
    var change: (inout LFQOptions) -> Void = { _ in }
    var text: String
    var testDescription: String { text }
  }

  @Test(arguments: [
    Bad(bits: 0, text: "bits = 0: must be in 1...30"),
    Bad(bits: 31, change: { $0.entropyWeight = 0 }, text: "bits = 31: must be in 1...30"),
    Bad(
      bits: 21,
      text:
        "bits = 21: the entropy of the mean needs the probabilities of 2^bits codes, at most 2^20: "
        + "set entropy_weight or diversity to 0"),
    Bad(
      change: { $0.commitmentWeight = -1 },
      text: "commitment_weight = -1.0: must be finite and at least 0"),
    Bad(
      change: { $0.entropyWeight = .nan },
      text: "entropy_weight = nan: must be finite and at least 0"),
    Bad(
      change: { $0.diversity = .infinity }, text: "diversity = inf: must be finite and at least 0"),
    Bad(
      change: { $0.temperature = 0 },
      text: "temperature = 0.0: must be finite and at least 1e-06"),
  ])
  func refusesBadOptions(_ bad: Bad) {
    #expect(errorText { try Self.layer(bad.bits, bad.change) } == "[lfq] \(bad.text)")
  }

  @Test func refusesBadInput() throws {
    let layer = try Self.layer(2)
    #expect(
      errorText { try layer.encode(.ones([3])) }
        == "[lfq] shape [3]: the last axis must be feature_size = 2")
    #expect(
      errorText { try layer.decode(Tensor(codes: [-2], shape: [1])) }
        == "[lfq.decode] index -2 is outside 0..<4")
  }
}
