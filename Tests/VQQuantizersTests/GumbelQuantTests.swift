import Glibc
import Testing
import VQTesting
import VQKernels

@testable import VQQuantizers

@Suite struct GumbelQuantTests {
  private static func layer(
    width: Int = 3, codes: Int = 5, _ change: (inout GumbelQuantOptions) -> Void = { _ in }
  ) throws -> GumbelQuant {
    var options = GumbelQuantOptions(featureSize: width, codeCount: codes)
    change(&options)
    return try GumbelQuant(options)
  }

  /// Two inputs that are their own first logits, the third always 0.
  private static func handLayer() throws -> GumbelQuant {
    let layer = try layer(width: 2, codes: 3) { $0.codeSize = 1 }
    layer.projection.weight.setValues([1, 0, 0, 1, 0, 0])
    layer.projection.bias!.setValues([0, 0, 0])
    layer.codebook.setValues([10, 20, 30])
    return layer
  }

  @Test func handValues() throws {
    let layer = try Self.handLayer()
    layer.isTraining = false
    let z = try Tensor([Float(log(2.0)), 0, -1, -2, 0, 0], shape: [3, 2])
    let result = try layer.quantize(z)
    // (1/2, 1/4, 1/4); the largest is the third; all equal, so the first.
    #expect(result.q.codes == [0, 2, 0])
    #expect(result.zq.values == [10, 30, 10])
    let third = -log(1 / (1 + exp(-1.0) + exp(-2.0)))
    #expect(
      isClose(result.d.values, [Float(log(2.0)), Float(third), Float(log(3.0))], 0x1p-22))
    // log 3 - H of each: log 3 - 1.5 log 2 for the first, 0 for the last.
    let p = [exp(-1.0), exp(-2.0), 1].map { $0 / (1 + exp(-1.0) + exp(-2.0)) }
    let second = p.reduce(log(3.0)) { $0 + $1 * log($1) }
    let expected = 5e-3 * (log(3.0) - 1.5 * log(2.0) + second) / 3
    #expect(isClose([try result.loss.item()], [Float(expected)], 0x1p-22))
    #expect(result.regularization == (try result.loss.item()))
  }

  @Test func evaluationGradientReachesTheCodebookAlone() throws {
    let layer = try Self.handLayer()
    layer.isTraining = false
    let z = try Tensor([3, 0, 0, 3], shape: [2, 2]).requiringGrad()
    try layer.quantize(z).zq.sum().backward()
    #expect(layer.codebook.grad!.values == [1, 1, 0])
    #expect(z.grad == nil)
  }

  /// With the noise of one draw, outputs and loss are smooth functions of input and parameters.
  @Test(arguments: [3, 2]) func trainingGradients(codeSize: Int) throws {
    let layer = try Self.layer {
      $0.codeSize = codeSize
      $0.schedule.temperature = 1.5
      $0.klWeight = 2
    }
    let start = try layer.sampling.generator.state.copied()
    let weights = try sample([4, codeSize], seed: 1)
    func objective(_ z: Tensor) throws -> Tensor {
      try layer.sampling.generator.state.assign(start)
      let result = try layer.quantize(z)
      return try (result.zq * weights).sum() + result.loss
    }
    let z = try gridSample([4, 3], seed: 2).requiringGrad()
    try objective(z).backward()
    // Float32 values near 5 in steps of 2e-2 leave 2^-21 / 1e-2, and third derivatives 1e-4.
    let inZ = try centralDifferences(z.detached()) { Double(try objective($0).item()) }
    #expect(isClose(z.grad!.values, inZ, 5e-4))
    for (name, parameter) in layer.namedParameters {
      let values = try parameter.copied()
      let expected = try centralDifferences(values) { changed in
        try parameter.assign(changed)
        return Double(try objective(z.detached()).item())
      }
      try parameter.assign(values)
      #expect(isClose(parameter.grad!.values, expected, 5e-4), "\(name)")
    }
  }

  @Test func hardOutputsAreCodesWithTheMixturesGradient() throws {
    let soft = try Self.layer { $0.klWeight = 0 }
    let hard = try Self.layer {
      $0.klWeight = 0
      $0.isHard = true
    }
    let z = try sample([6, 3], seed: 3)
    let cotangent = try sample([6, 3], seed: 4)
    let mixture = try pullback([z], cotangent) { try soft.quantize($0[0]).zq }
    let leaf = try z.requiringGrad()
    let result = try hard.quantize(leaf)
    #expect(result.zq.values == (try hard.decode(result.q)).values)
    try result.zq.backward(cotangent)
    #expect(leaf.grad!.values == mixture[1].values)
    // C gets the gradient of the rows that were chosen.
    let expected = try cotangent.scatterAddRows(result.q, rows: 5)
    #expect(isClose(hard.codebook.grad!.values, expected.values, 0x1p-20))
  }

  @Test func temperatureFallsToItsMinimum() throws {
    let layer = try Self.layer {
      $0.schedule.temperature = 2
      $0.schedule.decay = 0.5
      $0.schedule.minimum = 0.4
    }
    let z = try sample([2, 3], seed: 5)
    var seen: [Float] = []
    for _ in 0..<4 {
      seen.append(try layer.sampling.temperature.item())
      _ = try layer.quantize(z)
    }
    #expect(seen == [2, 1, 0.5, 0.4])
    layer.isTraining = false
    _ = try layer.quantize(z)
    #expect(try layer.sampling.temperature.item() == 0.4)
  }

  @Test func coldSamplesAreCodes() throws {
    let layer = try Self.layer { $0.schedule.temperature = 1e-6 }
    let result = try layer.quantize(sample([50, 3], seed: 6))
    #expect(isClose(result.zq.values, try layer.decode(result.q).values, 0x1p-20))
  }

  /// Codes are drawn with the probabilities of the logits.
  @Test func sampledCodesFollowTheProbabilities() throws {
    let layer = try Self.handLayer()
    let n = 40_000
    let row = [Float(log(2.0)), 0]
    let z = try Tensor((0..<n).flatMap { _ in row }, shape: [n, 2])
    let codes = try layer.quantize(z).q.codes
    for (code, p) in [0.5, 0.25, 0.25].enumerated() {
      let share = Double(codes.filter { Int($0) == code }.count) / Double(n)
      #expect(abs(share - p) < 5 * (p * (1 - p) / Double(n)).squareRoot())
    }
  }

  /// The distribution function of the noise, `exp(-exp(-x))`, and its moments.
  @Test func noiseIsGumbel() throws {
    let n = 1 << 18
    var noise = [Float](repeating: 0, count: n)
    let zeros = [Float](repeating: 0, count: n)
    noise.withUnsafeMutableBufferPointer { out in
      zeros.withUnsafeBufferPointer {
        addGumbelNoise(
          RandomState(seed: 3, stream: 1, counter: 0), $0.baseAddress!, out.baseAddress!, count: n,
          scale: 1)
      }
    }
    for x in stride(from: -2.0, through: 8, by: 0.5) {
      let expected = exp(-exp(-x))
      let share = Double(noise.filter { Double($0) <= x }.count) / Double(n)
      let error = (expected * (1 - expected) / Double(n)).squareRoot()
      #expect(abs(share - expected) < 5 * error + 1e-12)
    }
    let mean = noise.reduce(0.0) { $0 + Double($1) } / Double(n)
    #expect(abs(mean - 0.5772156649) < 5 * (Double.pi * Double.pi / 6 / Double(n)).squareRoot())
    #expect(noise.allSatisfy { $0 > -3.14 && $0 < 22.9 })
  }

  /// Element i takes word i of the stream: `-log(-log u)`, u = (word + 1/2) / 2^32.
  @Test func noiseIsThatOfItsWord() throws {
    let state = RandomState(seed: 9, stream: 2, counter: 7)
    let n = 1027
    let x = try sample([n], seed: 7)
    let out = try Tensor(shape: [n]) { out in
      x.read { addGumbelNoise(state, $0, out, count: n, scale: 0.5) }
    }
    for i in 0..<n {
      let u = (Double(philox(state, UInt64(i / 4))[i % 4]) + 0.5) * 0x1p-32
      let expected = 0.5 * (Double(x.values[i]) - log(-log(u)))
      #expect(abs(Double(out.values[i]) - expected) < 0x1p-17)
    }
  }

  @Test func expectedLogProbability() throws {
    let x = try sample([7, 40], seed: 8, scale: 5)
    let rows = try x.expectedLogProbability()
    for row in 0..<7 {
      let logits = x.values[row * 40..<(row + 1) * 40].map(Double.init)
      let sum = logits.reduce(0) { $0 + exp($1) }
      let expected = logits.reduce(0) { $0 + exp($1) / sum * log(exp($1) / sum) }
      #expect(isClose([rows.values.values[row]], [Float(expected)], 0x1p-20))
      #expect(isClose([rows.logSums.values[row]], [Float(log(sum))], 0x1p-22))
    }
    try checkGradient(
      of: {
        try $0[0].expectedLogProbability().values
      }, at: [gridSample([3, 6], seed: 9)])
    let far = try Tensor([1000, 0, -1000, 3e38, -3e38, 0], shape: [2, 3]).requiringGrad()
    let sure = try far.expectedLogProbability().values
    #expect(sure.values == [0, 0])
    try sure.sum().backward()
    #expect(far.grad!.values.allSatisfy { $0.isFinite })
  }

  struct Bad: CustomTestStringConvertible {
    var change: (inout GumbelQuantOptions) -> Void
    var text: String
    var testDescription: String { text }
  }

  @Test(arguments: [
    Bad(change: { $0.featureSize = 0 }, text: "feature_size = 0: must be at least 1"),
    Bad(change: { $0.codeCount = -1 }, text: "num_codes = -1: must be at least 1"),
    Bad(change: { $0.codeSize = 0 }, text: "code_size = 0: must be at least 1"),
    Bad(
      change: { $0.schedule.temperature = 0 },
      text: "temperature = 0.0: must be finite and at least 1e-06"),
    Bad(
      change: { $0.schedule.decay = 1.5 },
      text: "temperature_decay = 1.5: must be above 0 and at most 1"),
    Bad(
      change: { $0.schedule.minimum = 2 },
      text: "temperature_min = 2.0: must be in 0...1.0, the temperature"),
    Bad(change: { $0.klWeight = -1 }, text: "kl_weight = -1.0: must be finite and at least 0"),
  ])
  func refusesBadOptions(_ bad: Bad) {
    #expect(errorText { try Self.layer(bad.change) } == "[gumbel_quant] \(bad.text)")
  }

  @Test func refusesParametersThatAreNotFinite() throws {
    let layer = try Self.layer()
    let z = try sample([2, 3], seed: 1)
    let before = layer.sampling.generator.state.codes
    layer.codebook.setValues([.nan])
    #expect(
      errorText { try layer.quantize(z) }
        == "[gumbel_quant] codebook holds nan at flat index 0: every element must be finite")
    layer.codebook.setValues([1])
    layer.projection.bias!.setValues([0, .infinity])
    #expect(
      errorText { try layer.encode(z) }
        == "[gumbel_quant] the logits holds inf at flat index 1: every element must be finite")
    layer.projection.bias!.setValues([0, 0])
    layer.sampling.temperature.setValues([0])
    #expect(
      errorText { try layer.quantize(z) }
        == "[gumbel_quant] temperature = 0.0: must be finite and at least 1e-06")
    #expect(layer.sampling.generator.state.codes == before)
  }
}
