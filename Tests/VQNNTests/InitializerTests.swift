import Testing
import VQTesting

@testable import VQNN
@testable import VQTensor

@Suite struct InitializerTests {
  private func moments(_ values: [Float]) -> (mean: Double, deviation: Double) {
    let values = values.map(Double.init)
    let mean = values.reduce(0, +) / Double(values.count)
    let variance = values.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / Double(values.count)
    return (mean, variance.squareRoot())
  }

  struct Case: Sendable {
    let initializer: Initializer
    let variance: Double
  }

  /// Weight [64, 32, 3, 3]: fan in 288, fan out 576, 18432 elements.
  @Test(arguments: [
    Case(initializer: .kaimingUniform(), variance: 2 / 288),
    Case(initializer: .kaimingNormal(), variance: 2 / 288),
    Case(initializer: .kaimingUniform(fan: .output), variance: 2 / 576),
    Case(initializer: .kaimingNormal(fan: .output, negativeSlope: 1), variance: 1 / 576),
    Case(initializer: .xavierUniform(), variance: 2 / 864),
    Case(initializer: .xavierNormal(gain: 2), variance: 8 / 864),
    Case(initializer: .normal(mean: 0, standardDeviation: 0.5), variance: 1 / 4),
    Case(initializer: .uniform(from: -1, to: 1), variance: 1 / 3),
  ])
  func varianceIsThatOfTheFormula(_ given: Case) throws {
    let weight = try given.initializer.tensor([64, 32, 3, 3], generator: Generator(seed: 1))
    let (mean, deviation) = moments(weight.values)
    let expected = given.variance.squareRoot()
    // Four standard errors: 1 / sqrt(n) of the mean, at most 1 / sqrt(2 n) of the deviation.
    let error = 4 / Double(weight.count).squareRoot()
    #expect(abs(mean) < error * expected)
    #expect(abs(deviation - expected) < error * expected)
  }

  @Test func kaimingUniformStaysInItsBounds() throws {
    let values = try Initializer.kaimingUniform().tensor([64, 24], generator: Generator(seed: 1))
      .values
    // sqrt(6 / 24)
    #expect(values.allSatisfy { $0 >= -0.5 && $0 <= 0.5 } && values.contains { $0 > 0.49 })
  }

  @Test func truncatedNormalStaysInItsBounds() throws {
    let values = try Initializer.truncatedNormal(mean: 1, standardDeviation: 0.5)
      .tensor([10_000], generator: Generator(seed: 1)).values
    #expect(values.allSatisfy { $0 >= 0 && $0 <= 2 })
    // A normal cut at two deviations has 0.8796 of its deviation.
    #expect(abs(moments(values).deviation - 0.4398) < 0.4398 * 0.04)
  }

  @Test func constant() throws {
    #expect(
      try Initializer.constant(3).tensor([2], generator: Generator(seed: 1)).values == [3, 3])
  }

  @Test func layersStartAsPyTorchDoes() throws {
    // Uniform in +-1 / sqrt(fan in), the fan of a transposed convolution counted over its outputs.
    let generator = Generator(seed: 1)
    let linear = try Linear(inputs: 16, outputs: 64, generator: generator)
    let conv = try Conv2d(inputs: 4, outputs: 64, kernel: (2, 2), generator: generator)
    let transposed = try ConvTranspose2d(
      inputs: 64, outputs: 4, kernel: (2, 2), generator: generator)
    #expect(conv.weight.shape == [64, 4, 2, 2] && transposed.weight.shape == [64, 4, 2, 2])
    for tensor in [linear.weight, conv.weight, transposed.weight, linear.bias!, conv.bias!] {
      #expect(
        tensor.values.allSatisfy { abs($0) <= 0.25 } && tensor.values.contains { abs($0) > 0.22 })
    }
  }

  @Test func vectorHasNoFan() {
    #expect(
      errorText { _ = try Initializer.kaimingNormal().tensor([3], generator: Generator(seed: 1)) }
        == "[kaiming_normal] shape [3]: a weight must have at least two axes")
  }
}
