import Glibc
import Testing
import VQTesting

@testable import VQKernels
@testable import VQQuantizers

@Suite struct StochasticCodesTests {
  struct Case: CustomTestStringConvertible {
    var n, k, d: Int
    var temperature: Float = 1
    var mean: Float = 0
    var scale: Float = 1
    var testDescription: String {
      "n \(n) k \(k) d \(d) temperature \(temperature) mean \(mean) scale \(scale)"
    }
  }

  /// `argmin_j |z_i - E_j|^2 - T g_ij` in Float64, over all codes.
  private func sampledByDefinition(
    _ z: Tensor, _ codebook: Tensor, _ temperature: Float, _ state: RandomState
  ) -> [Int32] {
    let (n, d, k) = (z.shape[0], z.shape[1], codebook.shape[0])
    let (points, codes) = (z.values.map(Double.init), codebook.values.map(Double.init))
    return (0..<n).map { i in
      let scores = (0..<k).map { j -> Double in
        let word = philox(state, UInt64(i * ((k + 3) / 4) + j / 4))[j % 4]
        let gumbel = -log(-log((Double(word) + 0.5) / 4_294_967_296))
        return (0..<d).reduce(-Double(temperature) * gumbel) { sum, l in
          let difference = points[i * d + l] - codes[j * d + l]
          return sum + difference * difference
        }
      }
      return Int32(scores.indices.min { scores[$0] < scores[$1] }!)
    }
  }

  @Test(arguments: [
    Case(n: 1, k: 1, d: 1), Case(n: 300, k: 7, d: 2), Case(n: 200, k: 1025, d: 6),
    Case(n: 300, k: 530, d: 33, temperature: 20), Case(n: 100, k: 514, d: 3, temperature: 1e-3),
    Case(n: 200, k: 300, d: 8, temperature: 1e-3, mean: 500),
    Case(n: 200, k: 300, d: 8, temperature: 100, mean: 1e6),
    Case(n: 60, k: 100, d: 4, temperature: 1e38, scale: 1e19),
    Case(n: 60, k: 100, d: 4, temperature: 1e30), Case(n: 60, k: 100, d: 4, scale: 1e-20),
  ])
  func equalsTheDefinition(_ size: Case) throws {
    let z = try sample([size.n, size.d], seed: 1, mean: size.mean, scale: size.scale)
    let codebook = try sample([size.k, size.d], seed: 2, mean: size.mean, scale: size.scale)
    let generator = Generator(seed: 9, stream: 5)
    generator.counter = 77
    let codes = try sampleCodes(
      z, codebook, temperature: size.temperature, generator: generator)
    #expect(codes.shape == [size.n] && codes.dtype == .int32)
    #expect(
      codes.codes
        == sampledByDefinition(
          z, codebook, size.temperature, RandomState(seed: 9, stream: 5, counter: 77)))
    #expect(generator.counter == 77 + UInt64(size.n * ((size.k + 3) / 4)))
  }

  /// The bound that candidates are kept by, at both ends and between, in every instruction set.
  @Test func gumbelNumbersAreWithinTheirBound() {
    let ends = (0..<3000).flatMap { [UInt32($0), UInt32.max - UInt32($0)] }
    let middle = (0..<3000).map { UInt32(0x8000_0000) &+ UInt32($0) &- 1500 }
    let spread = stride(from: UInt32(1), to: UInt32.max - 70_001, by: 70_001)
    let words = ends + middle + spread
    for set in InstructionSet.allCases where set.rawValue <= InstructionSet.usable.rawValue {
      var numbers = [Float](repeating: 0, count: words.count)
      let zeros = numbers
      RandomKernels(set).addGumbelRow(words, 1, zeros, &numbers, words.count)
      var worst = 0.0
      for (word, number) in zip(words, numbers) {
        let exact = -log(-log1p(-(Double(UInt32.max - word) + 0.5) * 0x1p-32))
        worst = max(worst, abs(Double(number) - exact))
      }
      #expect(worst < 0x1p-17, "\(set.name)")
    }
  }

  /// Counts of 20,000 draws against the softmax: chi-square with 4 degrees of freedom is below 30
  /// with probability 1 - 5e-6.
  @Test func frequenciesAreTheSoftmax() throws {
    let n = 20_000
    let z = try Tensor.full([n, 1], 0.3)
    let places: [Float] = [0, 1, -1.5, 0.5, 2]
    let codes = try sampleCodes(
      z, Tensor(places, shape: [5, 1]), temperature: 1.5, generator: Generator(seed: 3)
    ).codes
    let powers = places.map { exp(-Double(($0 - 0.3) * ($0 - 0.3)) / 1.5) }
    let total = powers.reduce(0, +)
    var chiSquare = 0.0
    for (code, power) in powers.enumerated() {
      let expected = Double(n) * power / total
      let count = Double(codes.filter { $0 == code }.count)
      chiSquare += (count - expected) * (count - expected) / expected
    }
    #expect(chiSquare < 30)
  }

  @Test func tinyTemperatureGivesTheNearestCode() throws {
    for mean: Float in [0, 1e4] {
      let z = try sample([500, 7], seed: 4, mean: mean)
      let codebook = try sample([900, 7], seed: 5, mean: mean)
      let codes = try sampleCodes(
        z, codebook, temperature: 1e-20, generator: Generator(seed: 6))
      #expect(codes.codes == (try nearestCodes(z, codebook).codes.codes))
    }
  }

  /// Equal codes lie all within the margin, so that every one is ranked by the definition.
  @Test func equalCodesAreEquallyLikely() throws {
    let codes = try sampleCodes(
      Tensor.zeros([4000, 2]), Tensor.ones([100, 2]), temperature: 1, generator: Generator(seed: 7)
    ).codes
    let counts = (0..<100).map { code in codes.filter { $0 == code }.count }
    // 40 each with deviation 6.3; seven of them.
    #expect(counts.allSatisfy { abs($0 - 40) < 45 } && counts.min()! > 0)
  }

  @Test func sameForEveryThreadCountAndSplit() throws {
    let (z, codebook) = (try sample([3001, 16], seed: 8), try sample([601, 16], seed: 9))
    try expectThreadIndependent {
      [try sampleCodes(z, codebook, temperature: 5, generator: Generator(seed: 1))]
    }
    let whole = try sampleCodes(z, codebook, temperature: 5, generator: Generator(seed: 1)).codes
    let rest = Generator(seed: 1)
    rest.counter = UInt64(1000 * 151)
    let part = try Tensor(Array(z.values[(1000 * 16)..<(1007 * 16)]), shape: [7, 16])
    #expect(
      try sampleCodes(part, codebook, temperature: 5, generator: rest).codes
        == Array(whole[1000..<1007]))
    #expect(
      try sampleCodes(z, codebook, temperature: 5, generator: Generator(seed: 2)).codes != whole)
  }

  @Test func refusals() throws {
    let x = try Tensor.ones([3, 2])
    func text(_ z: Tensor, _ codebook: Tensor, _ temperature: Float) -> String {
      errorText {
        try sampleCodes(z, codebook, temperature: temperature, generator: Generator(seed: 1))
      }
    }
    #expect(text(x, x, 0) == "[sample_codes] temperature = 0.0: must be finite and above 0")
    #expect(
      try text(.ones([0, 2]), x, 1)
        == "[sample_codes] shape [0, 2] has no elements: at least one vector is required")
    #expect(
      try text(x, .ones([3, 3]), 1)
        == "[sample_codes] shapes [3, 2] and [3, 3]: x [n, d] and codebook [k, d] with equal d are required"
    )
    #expect(
      try text(Tensor([1, .nan], shape: [1, 2]), x, 1)
        == "[sample_codes] z holds nan at flat index 1: every element must be finite")
    #expect(
      try text(x, Tensor([1, 2, .infinity, 3], shape: [2, 2]), 1)
        == "[sample_codes] codebook holds inf at flat index 2: every element must be finite")
  }
}
