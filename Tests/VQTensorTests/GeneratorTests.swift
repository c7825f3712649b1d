import Glibc
import Testing
import VQTesting
import VQKernels

@testable import VQTensor

@Suite struct GeneratorTests {
  /// Known answers published with Random123.
  @Test func philoxKnownAnswers() {
    func block(_ seed: UInt64, _ counter: UInt64, _ stream: UInt64) -> SIMD4<UInt32> {
      philox(RandomState(seed: seed, stream: stream, counter: counter), 0)
    }
    #expect(block(0, 0, 0) == SIMD4(0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8))
    #expect(block(.max, .max, .max) == SIMD4(0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd))
    #expect(
      block(0x299f_31d0_a409_3822, 0x85a3_08d3_243f_6a88, 0x0370_7344_1319_8a2e)
        == SIMD4(0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1))
  }

  @Test(arguments: [1, 4, 15, 18, 1023, 5000])
  func elementsAreTheWordsOfTheirBlocks(_ count: Int) throws {
    let state = RandomState(seed: 5, stream: 1 << 40, counter: 0xFFFF_FFFE)
    let g = Generator(seed: state.seed, stream: state.stream)
    g.counter = state.counter
    let expected = (0..<count).map {
      Float(philox(state, UInt64($0 / 4))[$0 % 4] >> 8) * 0x1p-24
    }
    #expect(try g.uniform([count]).values == expected)
  }

  @Test func equalStatesDrawEqualNumbers() throws {
    let (a, b) = (Generator(seed: 7, stream: 2), Generator(seed: 7, stream: 2))
    _ = try a.normal([5])
    b.counter = a.counter
    #expect(try a.uniform([9]).values == b.uniform([9]).values)
    let first = try Generator(seed: 7).uniform([4]).values
    #expect(try first != Generator(seed: 8).uniform([4]).values)
    #expect(try first != Generator(seed: 7, stream: 1).uniform([4]).values)
  }

  @Test func countersAdvanceByBlocks() throws {
    let g = Generator(seed: 1)
    var counts: [UInt64] = []
    _ = try g.uniform([5])
    counts.append(g.counter)
    _ = try g.normal([4])
    counts.append(g.counter)
    _ = try g.truncatedNormal([3])
    counts.append(g.counter)
    _ = try g.integers([3], below: 9)
    counts.append(g.counter)
    _ = try g.permutation(4)
    counts.append(g.counter)
    _ = (g.nextUniform(), g.nextIndex(below: 3))
    counts.append(g.counter)
    #expect(counts == [2, 3, 5, 8, 12, 14])
    g.counter = .max
    _ = try g.uniform([8])
    #expect(g.counter == 1)
  }

  @Test func drawsDoNotDependOnTheThreadCount() throws {
    try expectThreadIndependent { try Generator(seed: 1).uniform([100_003]) }
    try expectThreadIndependent { try Generator(seed: 1).normal([100_003]) }
    try expectThreadIndependent { try Generator(seed: 1).truncatedNormal([10_003]) }
    try expectThreadIndependent { try Generator(seed: 1).integers([100_003], below: 17) }
    try expectThreadIndependent {
      try Tensor.ones([100_003]).dropout(0.3, generator: Generator(seed: 1))
    }
  }

  /// Six standard errors: a correct generator with this fixed seed passes with room.
  private func expectMoments(
    _ tensor: Tensor, mean: Double, variance: Double, fourth: Double,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let values = tensor.values.map(Double.init)
    let n = Double(values.count)
    let found = values.reduce(0, +) / n
    let spread = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / n
    #expect(
      Swift.abs(found - mean) < 6 * (variance / n).squareRoot(), sourceLocation: sourceLocation)
    #expect(
      Swift.abs(spread - variance) < 6 * ((fourth - variance * variance) / n).squareRoot(),
      sourceLocation: sourceLocation)
  }

  @Test func distributionsHaveTheirMoments() throws {
    let g = Generator(seed: 11)
    let n = 200_000
    expectMoments(try g.uniform([n]), mean: 0.5, variance: 1.0 / 12, fourth: 1.0 / 80)
    expectMoments(try g.normal([n]), mean: 0, variance: 1, fourth: 3)
    expectMoments(
      try g.normal([n], mean: 3, standardDeviation: 2), mean: 3, variance: 4, fourth: 48)
    // Of a normal distribution cut at 2: 1 - 4 phi(2) / (2 Phi(2) - 1), and its fourth moment.
    let edge = Glibc.exp(-2) / (2 * Double.pi).squareRoot() / Glibc.erf(2.0.squareRoot())
    let variance = 1 - 4 * edge
    expectMoments(
      try g.truncatedNormal([n]), mean: 0, variance: variance, fourth: 3 * variance - 16 * edge)
  }

  @Test func normalNumbersFollowTheirDistribution() throws {
    let values = try Generator(seed: 3).normal([100_000]).values.sorted()
    // Kolmogorov's distance is above 2.5 / sqrt(n) with probability 7e-6.
    let distance = values.enumerated().map { index, x in
      Swift.abs(
        0.5 * erfc(-Double(x) * 0.5.squareRoot()) - (Double(index) + 0.5) / Double(values.count))
    }.max()!
    #expect(distance < 2.5 / Double(values.count).squareRoot())
  }

  @Test func uniformStaysBelowItsEnd() throws {
    let values = try Generator(seed: 1).uniform([1 << 20], from: 1, to: 1 + 0x1p-22).values
    #expect(values.allSatisfy { $0 >= 1 && $0 < 1 + 0x1p-22 })
    let one = Generator(seed: 2).nextUniform()
    #expect(one >= 0 && one < 1)
  }

  @Test func truncatedNormalKeepsItsBounds() throws {
    let values = try Generator(seed: 1).truncatedNormal(
      [10_000], mean: 1, standardDeviation: 0.5, minimum: -1, maximum: 3
    ).values
    #expect(values.allSatisfy { $0 >= 0.5 && $0 <= 2.5 })
    #expect(values.min()! < 0.51)
    let tail = try Generator(seed: 1).truncatedNormal([100], minimum: 5, maximum: 5.5).values
    #expect(tail.allSatisfy { $0 >= 5 && $0 <= 5.5 })
  }

  @Test func integersAreEquallyLikely() throws {
    let codes = try Generator(seed: 4).integers([60_000], below: 6).codes
    for value in 0..<6 {
      let count = codes.filter { $0 == value }.count
      #expect(Swift.abs(Double(count) - 10_000) < 6 * (60_000 * 5.0 / 36).squareRoot())
    }
    #expect(try Generator(seed: 4).integers([3], below: 1).codes == [0, 0, 0])
    #expect(try Generator(seed: 4).integers([100], below: 1 << 31).codes.allSatisfy { $0 >= 0 })
    #expect(Generator(seed: 4).nextIndex(below: .max) > 0)
  }

  @Test func permutationHoldsEveryNumberOnce() throws {
    let order = try Generator(seed: 5).permutation(1000).codes
    #expect(order.sorted() == Array(0..<1000))
    #expect(order != Array(0..<1000))
    #expect(try Generator(seed: 5).permutation(0).shape == [0])
    #expect(try Generator(seed: 5).permutation(1).codes == [0])
  }

  @Test func refusesBadArguments() throws {
    let g = Generator(seed: 1)
    expectError("[uniform] range = 1.0..<1.0: must be finite, the first below the second") {
      try g.uniform([1], from: 1, to: 1)
    }
    expectError("[normal] standard_deviation = -1.0: must be finite and at least 0") {
      try g.normal([1], standardDeviation: -1)
    }
    expectError("[normal] mean = nan: must be finite") { try g.normal([1], mean: .nan) }
    expectError("[integers] below = 0: must be in 1...2147483648") { try g.integers([1], below: 0) }
    expectError("[permutation] count = -1: must be in 0...2147483648") { try g.permutation(-1) }
    expectError("[uniform] shape [-1]: every axis must be at least 0") { try g.uniform([-1]) }
    expectError(
      "[truncated_normal] bounds = 7.0...8.0: the first must be below the second, and within 6 standard deviations of the mean"
    ) { try g.truncatedNormal([1], minimum: 7, maximum: 8) }
    #expect(try g.uniform([0]).shape == [0])
    #expect(g.counter == 0)
  }
}

@Suite struct DropoutTests {
  @Test func scalesWhatItKeeps() throws {
    let values = try Tensor.ones([100_000]).dropout(0.25, generator: Generator(seed: 1)).values
    let kept = values.filter { $0 != 0 }
    #expect(kept.allSatisfy { $0 == 1 / 0.75 })
    #expect(Swift.abs(Double(kept.count) - 75_000) < 6 * (100_000 * 0.1875).squareRoot())
  }

  @Test func gradientUsesTheSameMask() throws {
    let x = try Tensor.ones([1003]).requiringGrad()
    let y = try x.dropout(0.5, generator: Generator(seed: 2))
    try y.sum().backward()
    #expect(x.grad!.values == y.values)
    try checkGradient(
      of: { try $0[0].dropout(0.5, generator: Generator(seed: 3)) }, at: [randomTensor([7])])
  }

  @Test func ends() throws {
    let g = Generator(seed: 1)
    let x = try randomTensor([4])
    #expect(try x.dropout(0, generator: g).values == x.values)
    #expect(g.counter == 0)
    #expect(try x.dropout(1, generator: g).values == [0, 0, 0, 0])
    #expect(try Tensor.ones([0]).dropout(0.5, generator: g).shape == [0])
    expectError("[dropout] probability = 1.5: must be in 0...1") {
      try x.dropout(1.5, generator: g)
    }
    expectError("[dropout] dtype int32: float32 is required") {
      try Tensor(codes: [1], shape: [1]).dropout(0.5, generator: g)
    }
  }
}
