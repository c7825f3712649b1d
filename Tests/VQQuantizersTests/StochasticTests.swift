import Glibc
import Testing
import VQTesting

@testable import VQQuantizers

/// Stochastic codes of the layer: `p_j ~ exp(-d_j / tau)` in training (eq. 12).
@Suite struct StochasticTests {
  private func make(_ change: (inout VectorQuantOptions) -> Void) throws -> VectorQuant {
    try layer([0, 1, 3], width: 1, change)
  }

  /// At tau = 2 and z = 0.5 the distances are 0.25, 0.25 and 6.25.
  @Test func drawsByDistance() throws {
    let layer = try make { $0.temperature = 2 }
    let n = 20_000
    let z = try Tensor.full([n, 1], 0.5)
    let codes = try layer.quantize(z).q.codes
    let weights = ([0, 0, -3] as [Double]).map { Glibc.exp($0) }
    for code in 0..<3 {
      let share = weights[code] / weights.reduce(0, +)
      let count = Double(codes.filter { $0 == code }.count)
      #expect(
        abs(count - share * Double(n)) < 5 * (share * (1 - share) * Double(n)).squareRoot())
    }
    // The next forward draws anew.
    #expect(try layer.quantize(z).q.codes != codes)
  }

  @Test func theTemperatureAnneals() throws {
    let layer = try make {
      ($0.temperature, $0.temperatureDecay, $0.temperatureMinimum) = (8, 0.5, 1.5)
    }
    let z = try Tensor([0.4], shape: [1, 1])
    var seen: [Float] = []
    for _ in 0..<4 {
      seen.append(try layer.lookup.temperature!.item())
      _ = try layer.quantize(z)
    }
    #expect(seen == [8, 4, 2, 1.5])
    #expect(layer.namedBuffers.contains { $0.name == "temperature" })
    layer.isTraining = false
    _ = try layer.quantize(z)
    layer.isTraining = true
    layer.isFrozen = true
    _ = try layer.quantize(z)
    layer.isFrozen = false
    layer.isQuantizing = false
    _ = try layer.quantize(z)
    #expect(layer.lookup.temperature!.values == [1.5])
  }

  /// A temperature that decays without a minimum ends with the nearest codes.
  @Test func vanishingTemperature() throws {
    let layer = try make { ($0.temperature, $0.temperatureDecay) = (1, 1e-9) }
    let z = try sample([50, 1], seed: 1)
    for _ in 0..<7 { _ = try layer.quantize(z) }
    #expect(layer.lookup.temperature!.values == [0])
    #expect(try layer.quantize(z).q.codes == nearestByDefinition(z, layer.codebook).codes)
  }

  @Test func evaluationTakesTheNearest() throws {
    let layer = try make { $0.temperature = 50 }
    let z = try sample([200, 1], seed: 2)
    let nearest = nearestByDefinition(z, layer.codebook).codes
    #expect(try layer.quantize(z).q.codes != nearest)
    #expect(try layer.encode(z).codes == nearest)
    layer.isTraining = false
    let before = layer.snapshot
    #expect(try layer.quantize(z).q.codes == nearest)
    #expect(layer.snapshot == before)
  }

  @Test func drawsResumeFromAState() throws {
    let first = try make { ($0.temperature, $0.temperatureDecay) = (2, 0.9) }
    let z = try sample([100, 1], seed: 3)
    for _ in 0..<3 { _ = try first.quantize(z) }
    let second = try make { ($0.temperature, $0.temperatureDecay, $0.seed) = (2, 0.9, 7) }
    try second.load(state: first.state)
    for _ in 0..<3 { #expect(try second.quantize(z).bits == first.quantize(z).bits) }
    #expect(second.snapshot == first.snapshot)
  }

  /// The value, the gradients and the use are those of the drawn codes.
  @Test func everythingFollowsTheDrawnCodes() throws {
    let layer = try make { ($0.temperature, $0.replaceFrequency, $0.syncNu) = (20, 1, 1) }
    let z = try sample([40, 1], seed: 4).requiringGrad()
    let result = try layer.quantize(z)
    #expect(result.activeCodes == 3)
    let start: [Float] = [0, 1, 3]
    #expect(result.zq.values == result.q.codes.map { start[Int($0)] })
    #expect(layer.codebook.values == start)
    try result.zq.sum().backward()
    let counts = (0..<3).map { code in Float(result.q.codes.filter { $0 == code }.count) }
    #expect(layer.codebook.grad!.values == counts)
    #expect(z.grad!.values.allSatisfy { $0 == 1 })
  }

  /// In-place steps keep the codes that they drew.
  @Test func inPlaceStepsKeepTheDraw() throws {
    let layer = try make { $0.temperature = 5 }
    try layer.stepInPlace(learningRate: 0.5, momentum: 0)
    let z = try sample([30, 1], seed: 5)
    let result = try layer.quantize(z)
    var gradient: [Float] = [0, 0, 0]
    let start: [Float] = [0, 1, 3]
    for (value, code) in zip(z.values, result.q.codes) {
      gradient[Int(code)] += 2 / 30 * (start[Int(code)] - value)
    }
    #expect(isClose(layer.codebook.values, (0..<3).map { start[$0] - 0.5 * gradient[$0] }, 1e-6))
    #expect(result.zq.values == result.q.codes.map { layer.codebook.values[Int($0)] })
  }
}
