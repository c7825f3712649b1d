import Glibc
import Testing
import VQTesting

@testable import VQQuantizers

@Suite struct RegularizersTests {
  // MARK: Orthogonality

  /// The definition over k x k, in Float64.
  private func orthogonality(_ codebook: Tensor) -> Double {
    let (k, d) = (codebook.shape[0], codebook.shape[1])
    let rows = (0..<k).map { row -> [Double] in
      let values = codebook.values[row * d..<(row + 1) * d].map(Double.init)
      let length = values.reduce(0) { $0 + $1 * $1 }.squareRoot()
      return values.map { length > 0 ? $0 / length : 0 }
    }
    var sum = 0.0
    for i in 0..<k {
      for j in 0..<k {
        let product = zip(rows[i], rows[j]).reduce(0) { $0 + $1.0 * $1.1 }
        sum += (product - (i == j ? 1 : 0)) * (product - (i == j ? 1 : 0))
      }
    }
    return sum / Double(k * k)
  }

  @Test func orthogonalityByHand() throws {
    #expect(try orthogonalRegularizer(Tensor([2, 0, 0, 3], shape: [2, 2])).item() == 0)
    #expect(try orthogonalRegularizer(Tensor([2, 0, -3, 0], shape: [2, 2])).item() == 0.5)
    // Three codes on a line: six pairs of product 1 of nine.
    let line = try orthogonalRegularizer(Tensor([1, 2, -4], shape: [3, 1])).item()
    #expect(abs(line - 2 / 3) < 1e-7)
    #expect(try orthogonalRegularizer(Tensor([0, 0], shape: [1, 2])).item() == 1)
  }

  @Test(arguments: [(1, 1), (3, 7), (7, 3), (5, 5), (300, 20), (20, 300)])
  func orthogonalityEqualsItsDefinition(k: Int, d: Int) throws {
    let codebook = try sample([k, d], seed: 1, mean: 0.3)
    let found = try orthogonalRegularizer(codebook).item()
    // Unit rows are rounded to float32.
    #expect(isClose([found], [Float(orthogonality(codebook))], 2e-7))
  }

  @Test(arguments: [(1, 3), (3, 4), (4, 3), (9, 2)])
  func orthogonalityGradient(k: Int, d: Int) throws {
    let codebook = try gridSample([k, d], seed: 2, mean: 1)
    let leaf = try codebook.requiringGrad()
    try orthogonalRegularizer(leaf).backward()
    let expected = try centralDifferences(codebook, step: 0x1p-9) { orthogonality($0) }
    // step^2 / 6 of third derivatives of at most 30, and float32 rows.
    #expect(isClose(leaf.grad!.values, expected, 2e-5))
  }

  @Test func descendingMakesCodesOrthogonal() throws {
    var codebook = try sample([3, 4], seed: 3, mean: 1)
    let before = try orthogonalRegularizer(codebook).item()
    for _ in 0..<400 {
      let leaf = try codebook.requiringGrad()
      try orthogonalRegularizer(leaf).backward()
      codebook = try (codebook - leaf.grad! * 2)
    }
    #expect(before > 0.1)
    #expect(try orthogonalRegularizer(codebook).item() < 1e-6)
  }

  // MARK: Entropy

  /// The definition in Float64.
  private func entropies(
    _ z: Tensor, _ codebook: Tensor, _ temperature: Double
  ) -> (mean: Double, ofMean: Double) {
    let (n, d, k) = (z.shape[0], z.shape[1], codebook.shape[0])
    let (points, codes) = (z.values.map(Double.init), codebook.values.map(Double.init))
    var (sum, mean) = (0.0, [Double](repeating: 0, count: k))
    func entropy(_ p: [Double]) -> Double { p.reduce(0) { $0 - ($1 > 0 ? $1 * log($1) : 0) } }
    for i in 0..<n {
      let logits = (0..<k).map { j in
        -(0..<d).reduce(0.0) {
          let difference = points[i * d + $1] - codes[j * d + $1]
          return $0 + difference * difference
        } / temperature
      }
      let largest = logits.max()!
      let powers = logits.map { exp($0 - largest) }
      let total = powers.reduce(0, +)
      let p = powers.map { $0 / total }
      sum += entropy(p)
      for j in 0..<k { mean[j] += p[j] / Double(n) }
    }
    return (sum / Double(n), entropy(mean))
  }

  @Test func entropyByHand() throws {
    // The first vector lies in the middle; the second is 4 from one code and 0 from the other:
    // p = (1, e^-4) / (1 + e^-4) at temperature 4 / 4.
    let z = try Tensor([1, 0], shape: [2, 1])
    let codebook = try Tensor([0, 2], shape: [2, 1])
    let found = try entropyRegularizer(z, codebook, temperature: 1)
    let p = 1 / (1 + exp(-4.0))
    let sure = -p * log(p) - (1 - p) * log(1 - p)
    let share = (0.5 + p) / 2
    let mixed = -share * log(share) - (1 - share) * log(1 - share)
    #expect(isClose([found.meanEntropy], [Float((log(2) + sure) / 2)], 1e-6))
    #expect(isClose([found.entropyOfMean], [Float(mixed)], 1e-6))
    #expect(isClose([try found.loss.item()], [Float((log(2) + sure) / 2 - mixed)], 1e-6))
  }

  @Test(arguments: [
    (1, 1, 1, Float(1)), (7, 5, 3, 0.5), (700, 33, 17, 2), (40, 2100, 5, 0.3), (50, 20, 8, 0.01),
  ])
  func entropyEqualsItsDefinition(n: Int, k: Int, d: Int, temperature: Float) throws {
    for offset: Float in [0, 300] {
      let z = try sample([n, d], seed: 4, mean: offset)
      let codebook = try sample([k, d], seed: 5, mean: offset)
      let found = try entropyRegularizer(z, codebook, temperature: temperature, diversity: 0.5)
      let expected = entropies(z, codebook, Double(temperature))
      // Logits off by 2^-24 (d + 8) r^2 2 / T, r^2 about d.
      let tolerance = 0x1p-23 * Float((d + 8) * 4 * d) / temperature + 1e-6
      #expect(isClose([found.meanEntropy], [Float(expected.mean)], tolerance))
      #expect(isClose([found.entropyOfMean], [Float(expected.ofMean)], tolerance))
      #expect(
        isClose(
          [try found.loss.item()], [Float(expected.mean - 0.5 * expected.ofMean)], tolerance))
    }
  }

  @Test(arguments: [Float(0), 1, 2.5]) func entropyGradient(diversity: Float) throws {
    let (z, codebook) = (try gridSample([5, 2], seed: 6), try gridSample([4, 2], seed: 7))
    let leaves = (try z.requiringGrad(), try codebook.requiringGrad(.codebook))
    let loss = try entropyRegularizer(
      leaves.0, leaves.1, temperature: 1.5, diversity: diversity
    ).loss
    try (loss * 3).backward()
    func value(_ z: Tensor, _ codebook: Tensor) -> Double {
      let found = entropies(z, codebook, 1.5)
      return 3 * (found.mean - Double(diversity) * found.ofMean)
    }
    let inZ = try centralDifferences(z, step: 0x1p-9) { value($0, codebook) }
    let inCodebook = try centralDifferences(codebook, step: 0x1p-9) { value(z, $0) }
    // step^2 / 6 of third derivatives of at most 30, and float32 probabilities.
    #expect(isClose(leaves.0.grad!.values, inZ, 2e-5))
    #expect(isClose(leaves.1.grad!.values, inCodebook, 2e-5))
  }

  /// Several chunks and groups give what the composition of plain operators gives.
  @Test func entropyGradientEqualsTheComposition() throws {
    let (n, k, d) = (1111, 70, 6)
    let (z, codebook) = (try sample([n, d], seed: 8), try sample([k, d], seed: 9))
    let fused = (try z.requiringGrad(), try codebook.requiringGrad())
    try entropyRegularizer(fused.0, fused.1, temperature: 2, diversity: 1.5).loss.backward(
      Tensor(scalar: 100))
    let plain = (try z.requiringGrad(), try codebook.requiringGrad())
    let difference = try plain.0.reshape([n, 1, d]) - plain.1.reshape([1, k, d])
    let logs = try (difference.square().sum(axes: [2]) / -2).logSoftmax()
    let entropy = try -(logs.exp() * logs).sum(axes: [1]).mean()
    let mean = try logs.exp().mean(axes: [0])
    let loss = try entropy + (mean * mean.log()).sum() * 1.5
    try loss.backward(Tensor(scalar: 100))
    #expect(isClose(fused.0.grad!.values, plain.0.grad!.values, 1e-5))
    #expect(isClose(fused.1.grad!.values, plain.1.grad!.values, 1e-5))
  }

  @Test func tinyTemperatureIsFinite() throws {
    let (z, codebook) = (try sample([64, 16], seed: 10), try sample([32, 16], seed: 11))
    for temperature: Float in [0.01, 1e-6, 1e-38] {
      let leaves = (try z.requiringGrad(), try codebook.requiringGrad())
      let found = try entropyRegularizer(leaves.0, leaves.1, temperature: temperature)
      try found.loss.backward()
      #expect(found.meanEntropy >= 0 && found.meanEntropy < 0.1)
      #expect(try found.loss.item().isFinite)
      #expect(leaves.0.grad!.values.allSatisfy { $0.isFinite })
      #expect(leaves.1.grad!.values.allSatisfy { $0.isFinite })
      // Hard assignments: the entropy of the mean is that of the nearest codes' use.
      let codes = try nearestCodes(z, codebook).codes.codes
      let shares = (0..<32).map { code in Double(codes.filter { $0 == code }.count) / 64 }
      let usage = shares.reduce(0.0) { $0 - ($1 > 0 ? $1 * log($1) : 0) }
      #expect(abs(Double(found.entropyOfMean) - usage) < 0.1)
    }
  }

  // MARK: All

  @Test func sameForEveryThreadCount() throws {
    let (z, codebook) = (try sample([1500, 12], seed: 12), try sample([300, 12], seed: 13))
    let one = try Tensor(scalar: 1)
    try expectThreadIndependent {
      try pullback([z, codebook], one) {
        try entropyRegularizer($0[0], $0[1], temperature: 1).loss
      }
        + pullback([codebook], one) { try orthogonalRegularizer($0[0]) }
        + pullback([z.reshape([40, 450])], one) { try orthogonalRegularizer($0[0]) }
    }
  }

  @Test func refusals() throws {
    let x = try Tensor.ones([3, 2])
    #expect(
      errorText { try orthogonalRegularizer(Tensor.ones([3])) }
        == "[orthogonal_regularizer] shape [3]: a codebook [k, d] is required")
    #expect(
      errorText { try orthogonalRegularizer(Tensor.ones([0, 3])) }
        == "[orthogonal_regularizer] shape [0, 3] has no elements: at least one code of at least one element is required"
    )
    #expect(
      errorText { try entropyRegularizer(x, Tensor.ones([2, 3]), temperature: 1) }
        == "[entropy_regularizer] shapes [3, 2] and [2, 3]: x [n, d] and codebook [k, d] with equal d are required"
    )
    #expect(
      errorText { try entropyRegularizer(Tensor.ones([0, 2]), x, temperature: 1) }
        == "[entropy_regularizer] shape [0, 2] has no elements: at least one vector is required")
    #expect(
      errorText { try entropyRegularizer(x, x, temperature: 0) }
        == "[entropy_regularizer] temperature = 0.0: must be finite and above 0")
    #expect(
      errorText { try entropyRegularizer(x, x, temperature: 1, diversity: .infinity) }
        == "[entropy_regularizer] diversity = inf: must be finite")
    #expect(
      errorText { try entropyRegularizer(x * .nan, x, temperature: 1) }
        == "[entropy_regularizer] z holds nan at flat index 0: every element must be finite")
    #expect(
      errorText { try entropyRegularizer(x, x * -1e20, temperature: 1) }
        == "[entropy_regularizer] codebook = 1e+20: elements must be below 1e16, or float32 distances overflow"
    )
  }
}
