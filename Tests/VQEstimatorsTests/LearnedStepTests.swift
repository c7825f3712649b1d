import Testing
import VQNN
import VQTensor
import VQTesting

@testable import VQEstimators

@Suite(.serialized) struct LearnedStepTests {
  private static func text(_ body: () throws -> Void) -> String {
    do {
      try body()
      return "nothing was thrown"
    } catch { return "\(error)" }
  }

  /// Multiples of 1/64, halfway between whole multiples of 1/32: no place of a grid of step 1/4 or
  /// 1/2 is a tie or an end.
  private static func values(_ shape: [Int], seed: UInt64) throws -> Tensor {
    let draw = try Generator(seed: seed).normal(shape)
    return try Tensor(draw.values.map { (($0 * 32).rounded(.down) + 0.5) / 32 }, shape: shape)
  }

  @Test func pactByHand() throws {
    let layer = try PACT(bits: 2, clip: 3)
    let x = try Tensor([-1, 0, 0.4, 1.6, 2.9, 3, 7], shape: [7]).requiringGrad()
    let y = try layer(x)
    #expect(y.values == [0, 0, 0, 2, 3, 3, 3])
    try y.backward(Tensor([1, 2, 4, 8, 16, 32, 64], shape: [7]))
    #expect(x.grad!.values == [0, 2, 4, 8, 16, 0, 0])
    #expect(try layer.clip.grad!.item() == 96)
    #expect(layer.clip.leaf!.role == .weight)
  }

  @Test func lsqByHand() throws {
    let layer = try LSQ(bits: 3)
    let x = try Tensor([-3, 1, 0.5, 1.5], shape: [4]).requiringGrad()
    _ = try layer(x)
    // 2 * 1.5 / sqrt(3)
    #expect(abs(Double(try layer.step.item()) - 3 / 3.0.squareRoot()) < 1e-6)
    layer.step.mutate { $0[0] = 0.5 }
    let y = try layer(x)
    #expect(y.values == [-2, 1, 0.5, 1.5])
    try y.backward(Tensor([1, 10, 100, 1000], shape: [4]))
    #expect(x.grad!.values == [0, 10, 100, 0])
    // (1 * -4 + 10 * 0 + 100 * 0 + 1000 * 3) / sqrt(4 * 3)
    #expect(abs(Double(try layer.step.grad!.item()) - 2996 / 12.0.squareRoot()) < 1e-3)
  }

  @Test func lsqPlusByHand() throws {
    let layer = try LSQPlus(bits: 2)
    let x = try Tensor([-1, 0.2, 2, 1.3], shape: [2, 2]).requiringGrad()
    let y = try layer(x)
    #expect(try layer.step.item() == 1)
    #expect(try layer.offset!.item() == -1)
    #expect(y.values == [-1, 0, 2, 1])
    try y.backward(Tensor([1, 10, 100, 1000], shape: [2, 2]))
    #expect(x.grad!.values == [0, 10, 0, 1000])
    // v = 0, 1.2, 3, 2.3: (0 - 10 * 0.2 + 100 * 3 - 1000 * 0.3) / sqrt(2 * 3)
    #expect(abs(Double(try layer.step.grad!.item()) - (-2 / 6.0.squareRoot())) < 1e-3)
    #expect(abs(Double(try layer.offset!.grad!.item()) - 101 / 6.0.squareRoot()) < 1e-5)
  }

  @Test(arguments: [LSQ.Values.weights, .activations], [false, true])
  func gradientOfTheStepIsTheFormula(values kind: LSQ.Values, isSigned: Bool) throws {
    let layer = try LSQ(bits: 4, values: kind, isSigned: isSigned)
    let x = try Self.values([6, 50, 70], seed: 1).requiringGrad()
    _ = try layer(x)
    layer.step.mutate { $0[0] = 0.25 }
    let g = try Self.values([6, 50, 70], seed: 2)
    try layer(x).backward(g)
    let (low, high) = isSigned ? (-8.0, 7.0) : (0.0, 15.0)
    var (sum, magnitude) = (0.0, 0.0)
    for ((x, g), dx) in zip(zip(x.values, g.values), x.grad!.values) {
      let v = Double(x) / 0.25
      let isInside = v > low && v < high
      let term = isInside ? v.rounded(.toNearestOrEven) - v : min(max(v, low), high)
      sum += Double(g) * term
      magnitude += abs(Double(g) * term)
      #expect(dx == (isInside ? g : 0))
    }
    let features = kind == .weights ? 21_000.0 : 3500
    let scale = 1 / (features * high).squareRoot()
    // Partial sums of 32 rows in float32.
    #expect(
      abs(Double(try layer.step.grad!.item()) - sum * scale) <= 32 * 0x1p-24 * magnitude * scale)
  }

  @Test func gradientOfTheOffsetIsTheFormula() throws {
    let layer = try LSQPlus(bits: 2, isSigned: true)
    let x = try Self.values([6, 50, 70], seed: 3).requiringGrad()
    _ = try layer(x)
    layer.step.mutate { $0[0] = 0.5 }
    layer.offset!.mutate { $0[0] = 0.25 }
    let g = try Self.values([6, 50, 70], seed: 4)
    try layer(x).backward(g)
    var (step, offset, magnitude) = (0.0, 0.0, 0.0)
    for (x, g) in zip(x.values, g.values) {
      let v = (Double(x) - 0.25) / 0.5
      let isInside = v > -2 && v < 1
      step += Double(g) * (isInside ? v.rounded(.toNearestOrEven) - v : min(max(v, -2), 1))
      offset += isInside ? 0 : Double(g)
      magnitude += 2 * abs(Double(g))
    }
    let scale = 1 / 3500.0.squareRoot()
    let tolerance = 32 * 0x1p-24 * magnitude * scale
    #expect(abs(Double(try layer.step.grad!.item()) - step * scale) <= tolerance)
    #expect(abs(Double(try layer.offset!.grad!.item()) - offset * scale) <= tolerance)
  }

  private static func layers() throws -> [Module] {
    [try PACT(bits: 3, clip: 1), try LSQ(bits: 3), try LSQPlus(bits: 3)]
  }

  @Test(arguments: 0..<3) func sameBitsForEveryThreadCount(index: Int) throws {
    func bits(_ threads: Int) throws -> [[UInt32]] {
      try withThreads(threads) {
        let layer = try Self.layers()[index]
        let x = try Generator(seed: 5).normal([70, 3000]).requiringGrad()
        let y = try layer(x)
        try y.backward(Generator(seed: 6).normal([70, 3000]))
        let gradients = [x.grad!] + layer.namedParameters.map { $0.tensor.grad! }
        return ([y] + gradients).map { $0.values.map(\.bitPattern) }
      }
    }
    #expect(try bits(1) == bits(2))
  }

  @Test(arguments: 0..<3) func theStartIsPartOfTheState(index: Int) throws {
    let (layer, other) = (try Self.layers()[index], try Self.layers()[index])
    _ = try layer(Generator(seed: 7).normal([40, 3]))
    try other.load(state: layer.state)
    let x = try Generator(seed: 8).normal([9, 3], mean: 4)
    #expect(try other(x).values == layer(x).values)
    #expect(other.state.map { $0.tensor.values } == layer.state.map { $0.tensor.values })
  }

  @Test(arguments: 0..<3) func everyStoredTensorIsListed(index: Int) throws {
    let layer = try Self.layers()[index]
    let own = layer.ownParameters + layer.ownBuffers
    var mirror: Mirror? = Mirror(reflecting: layer)
    var found = 0
    while let current = mirror {
      for child in current.children {
        guard let tensor = child.value as? Tensor ?? (child.value as? Tensor?).flatMap({ $0 })
        else { continue }
        found += 1
        #expect(own.contains { $0.tensor === tensor })
      }
      mirror = current.superclassMirror
    }
    #expect(found == own.count)
  }

  @Test func evaluationBeforeTrainingKeepsNothing() throws {
    let layer = try LSQ(bits: 2)
    layer.isTraining = false
    let x = try Tensor([1, -3], shape: [2])
    // The step is 4.
    #expect(try layer(x).values == [0, -4])
    #expect(try layer.step.item() == 1)
    #expect(layer.initialized.codes == [0])
    #expect(try layer(Tensor.zeros([0, 3])).shape == [0, 3])
  }

  @Test(arguments: [0, 17, -4]) func refusesBits(bits: Int) {
    #expect(
      Self.text { _ = try PACT(bits: bits) } == "[pact] bits = \(bits): must be from 1 to 16")
    #expect(Self.text { _ = try LSQ(bits: bits) } == "[lsq] bits = \(bits): must be from 1 to 16")
    #expect(
      Self.text { _ = try LSQPlus(bits: bits) } == "[lsq_plus] bits = \(bits): must be from 1 to 16"
    )
  }

  @Test func refusesWhatHasNoGrid() throws {
    #expect(
      Self.text { _ = try LSQ(bits: 1) }
        == "[lsq] bits = 1: must be at least 2 with a sign: 1 leaves no positive level")
    #expect(try LSQ(bits: 1, values: .activations).isSigned == false)
    #expect(
      Self.text { _ = try PACT(bits: 4, clip: -1) }
        == "[pact] clip = -1.0: must be positive and finite")
    let x = try Tensor([1, -.infinity], shape: [2])
    for (index, name) in ["pact", "lsq", "lsq_plus"].enumerated() {
      let layer = try Self.layers()[index]
      #expect(
        Self.text { _ = try layer(x) }
          == "[\(name)] x holds -inf at flat index 1: every element must be finite")
      #expect(
        Self.text { _ = try layer(Tensor.zeros([0, 2])) }
          == "[\(name)] shape [0, 2] has no elements: training needs at least one element")
    }
    #expect(try LSQ(bits: 2)(Tensor.zeros([3])).values == [0, 0, 0])
    #expect(try LSQPlus(bits: 2)(Tensor.ones([3])).values == [1, 1, 1])
  }

  @Test(arguments: [.nan, .infinity] as [Float])
  func refusesWhatTrainingSpoiled(value: Float) throws {
    let rule = "must stay positive and finite: train it at a lower learning rate"
    let x = try Tensor([1, -3], shape: [2])
    let layers = try Self.layers()
    for (layer, name) in zip(layers, ["[pact] clip", "[lsq] step", "[lsq_plus] step"]) {
      _ = try layer(x)
      layer.ownParameters[0].tensor.mutate { $0[0] = value }
      #expect(Self.text { _ = try layer(x) } == "\(name) = \(value): \(rule)")
    }
    let shifted = try LSQPlus(bits: 2)
    _ = try shifted(x)
    shifted.offset!.mutate { $0[0] = .nan }
    #expect(
      Self.text { _ = try shifted(x) }
        == "[lsq_plus] offset holds nan at flat index 0: every element must be finite")
  }
}
