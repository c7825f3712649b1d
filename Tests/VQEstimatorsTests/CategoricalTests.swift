import Glibc
import Testing
import VQTensor
import VQTesting

@testable import VQEstimators

@Suite(.serialized) struct CategoricalTests {
  private static func softmax(_ x: [Double]) -> [Double] {
    let powers = x.map(exp)
    return powers.map { $0 / powers.reduce(0, +) }
  }

  /// p (g - p . g).
  private static func product(_ p: [Double], _ g: [Double]) -> [Double] {
    let mean = zip(p, g).reduce(0) { $0 + $1.0 * $1.1 }
    return zip(p, g).map { $0 * ($1 - mean) }
  }

  /// Logits 0 and the sample (1, 0): p0 = (1/2, 1/2), p1 = (3/4, 1/4), J(p1) g = 3/16 (g0 - g1) (1,
  /// -1) and J(p0) g = 1/4 (g0 - g1) (1, -1).
  @Test func reinMaxByHand() throws {
    let logits = try Tensor.zeros([1, 2]).requiringGrad()
    let sample = try logits.reinMax(codes: Tensor(codes: [0], shape: [1]), temperature: 1)
    #expect(sample.values == [1, 0])
    try sample.backward(Tensor([5, 1], shape: [1, 2]))
    #expect(logits.grad!.values == [1, -1])
  }

  @Test(arguments: [0.5, 1, 2] as [Float]) func reinMaxIsItsFormula(temperature: Float) throws {
    let (n, k) = (30, 37)
    let logits = try Generator(seed: 1).normal([5, 6, k]).requiringGrad()
    let codes = try Generator(seed: 2).integers([5, 6], below: k)
    let g = try Generator(seed: 3).normal([5, 6, k])
    try logits.reinMax(codes: codes, temperature: temperature).backward(g)
    for row in 0..<n {
      let range = row * k..<(row + 1) * k
      let x = logits.values[range].map(Double.init)
      let g = g.values[range].map(Double.init)
      var p1 = Self.softmax(x.map { $0 / Double(temperature) }).map { $0 / 2 }
      p1[Int(codes.codes[row])] += 0.5
      let (first, second) = (Self.product(p1, g), Self.product(Self.softmax(x), g))
      for j in 0..<k {
        let expected = 2 * first[j] - 0.5 * second[j]
        // Shares to 2^-21, times gradients up to 4 and their means.
        #expect(abs(Double(logits.grad!.values[range][range.lowerBound + j]) - expected) < 0x1p-17)
      }
    }
  }

  /// The mean over all categories of the gradient for D A D + b D, against sum_i dp_i f(e_i).
  @Test func reinMaxIsExactForQuadraticFunctions() throws {
    let k = 5
    let values: [Float] = [0.3, -1, 0.8, 0, 1.4]
    let matrix = try Generator(seed: 4).normal([k, k])
    let linear = try Generator(seed: 5).normal([k])
    let p = Self.softmax(values.map(Double.init))
    var mean = [Double](repeating: 0, count: k)
    for code in 0..<k {
      let logits = try Tensor(values, shape: [1, k]).requiringGrad()
      let d = try logits.reinMax(
        codes: Tensor(codes: [Int32(code)], shape: [1]), temperature: 1)
      try (d.matmul(matrix) * d + d * linear).sum().backward()
      for j in 0..<k { mean[j] += p[code] * Double(logits.grad!.values[j]) }
    }
    let f = (0..<k).map { Double(matrix.values[$0 * k + $0]) + Double(linear.values[$0]) }
    for (value, exact) in zip(mean, Self.product(p, f)) { #expect(abs(value - exact) < 1e-6) }
  }

  @Test func hardSamplesTakeTheGradientOfTheSoft() throws {
    let values = try Generator(seed: 6).normal([8, 9])
    let g = try Generator(seed: 7).normal([8, 9])
    let gradients = try [false, true].map { isHard in
      let logits = try values.requiringGrad()
      let y = try logits.gumbelSoftmax(
        temperature: 0.5, isHard: isHard, generator: Generator(seed: 8))
      try y.backward(g)
      #expect(y.values.contains { $0 > 0 && $0 < 1 } == !isHard)
      return logits.grad!.values
    }
    #expect(gradients[0] == gradients[1])
    let (drawn, plain) = (try values.requiringGrad(), try values.requiringGrad())
    try drawn.straightThroughSoftmax(generator: Generator(seed: 8)).backward(g)
    try plain.softmax().backward(g)
    #expect(drawn.grad!.values == plain.grad!.values)
  }

  /// Within five standard deviations of 20000 draws.
  @Test func samplesFollowTheSoftmax() throws {
    let n = 20_000
    let values: [Float] = [0, 1, -1, 0.5]
    let logits = try Tensor((0..<n).flatMap { _ in values }, shape: [n, 4])
    let shares = try logits.reinMax(generator: Generator(seed: 9)).mean(axes: [0]).values
    for (share, p) in zip(shares, Self.softmax(values.map(Double.init))) {
      #expect(abs(Double(share) - p) < 5 * (p * (1 - p) / Double(n)).squareRoot())
    }
  }

  @Test func sameBitsForEveryThreadCount() throws {
    func bits(_ threads: Int) throws -> [[UInt32]] {
      try withThreads(threads) {
        let logits = try Generator(seed: 10).normal([900, 130]).requiringGrad()
        let y = try logits.reinMax(generator: Generator(seed: 11))
        try y.backward(Generator(seed: 12).normal([900, 130]))
        return [y, logits.grad!].map { $0.values.map(\.bitPattern) }
      }
    }
    #expect(try bits(1) == bits(2))
  }

  @Test func errors() throws {
    let generator = Generator(seed: 1)
    #expect(
      errorText { _ = try Tensor.zeros([2, 0]).reinMax(generator: generator) }
        == "[reinmax] shape [2, 0]: logits [..., k] with k at least 1 are required")
    #expect(
      errorText { _ = try Tensor([.nan], shape: [1]).straightThroughSoftmax(generator: generator) }
        == "[straight_through_softmax] logits holds nan at flat index 0: every element must be "
        + "finite")
    #expect(
      errorText {
        _ = try Tensor.zeros([2]).gumbelSoftmax(temperature: 0, isHard: true, generator: generator)
      } == "[gumbel_softmax] temperature = 0.0: must be finite and at least 1e-06")
  }
}
