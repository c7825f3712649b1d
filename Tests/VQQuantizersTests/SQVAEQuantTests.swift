import Glibc
import Testing
import VQTesting
import VQKernels

@testable import VQQuantizers

@Suite struct SQVAEQuantTests {
  static let kinds: [VarianceKind] = [.shared, .sample, .vector, .element]

  static func layer(
    _ kind: VarianceKind, width: Int = 3, codes: Int = 6,
    _ change: (inout SQVAEQuantOptions) -> Void = { _ in }
  ) throws -> SQVAEQuant {
    var options = SQVAEQuantOptions(featureSize: width, codeCount: codes)
    options.kind = kind
    change(&options)
    return try SQVAEQuant(options)
  }

  @Test func handValues() throws {
    let layer = try Self.layer(.shared, width: 1, codes: 2)
    layer.codebook.setValues([0, 4])
    layer.logVariance.setValues([0])  // s2 = 2
    layer.isTraining = false
    let result = try layer.quantize(Tensor([1, 2], shape: [1, 2, 1]))
    // Logits -1/4 and -9/4; then equal ones.
    #expect(result.q.codes == [0, 0])
    #expect(result.zq.values == [0, 0])
    #expect(result.d.values == [1, 4])
    let p = 1 / (1 + exp(-2.0))
    let entropy = p * log(p) + (1 - p) * log(1 - p) - log(2.0)
    #expect(isClose([result.regularization], [Float(entropy)], 0x1p-21))
    #expect(isClose([result.commitmentLoss], [(1 + 4) / 4], 0x1p-22))
  }

  /// Variances, loss terms and codes in Float64 of `z` [b, t, d].
  private static func reference(
    _ layer: SQVAEQuant, _ z: Tensor, _ logVariance: Tensor
  ) -> (entropy: Double, error: Double, codes: [Int]) {
    let (batch, time, d) = (z.shape[0], z.shape[1], z.shape[2])
    let (x, v) = (z.values.map(Double.init), logVariance.values.map(Double.init))
    let codebook = layer.codebook.values.map(Double.init)
    let learned = exp(Double(layer.logVariance.values[0]))
    func mean(_ range: Range<Int>) -> Double { v[range].reduce(0, +) / Double(range.count) }
    var (entropy, error, codes) = (0.0, 0.0, [Int]())
    for row in 0..<batch * time {
      let sample = row / time * time * d
      let s2 = (0..<d).map { l -> Double in
        let own: Double
        switch layer.options.kind {
        case .shared: own = 0
        case .sample: own = mean(sample..<sample + time * d)
        case .vector: own = mean(row * d..<(row + 1) * d)
        case .element: own = v[row * d + l]
        }
        return exp(own) + learned
      }
      let logits = (0..<layer.codeCount).map { j in
        (0..<d).reduce(0.0) { $0 - pow(x[row * d + $1] - codebook[j * d + $1], 2) / s2[$1] / 2 }
      }
      let largest = logits.max()!
      let sum = logits.reduce(0) { $0 + exp($1 - largest) }
      for logit in logits {
        let p = exp(logit - largest) / sum
        entropy += p * log(p)
      }
      codes.append(logits.firstIndex(of: largest)!)
      error -= largest
    }
    return (entropy / Double(batch), error / Double(batch), codes)
  }

  @Test(arguments: kinds) func evaluationEqualsReference(kind: VarianceKind) throws {
    let layer = try Self.layer(kind, width: 5, codes: 40)
    layer.isTraining = false
    layer.logVariance.setValues([-0.5])
    let z = try sample([3, 7, 5], seed: 1)
    let logVariance = try sample([3, 7, 5], seed: 2)
    let result = try layer.quantize(z, logVariance: kind == .shared ? nil : logVariance)
    let expected = Self.reference(layer, z, logVariance)
    #expect(result.q.codes.map(Int.init) == expected.codes)
    #expect(isClose([result.regularization], [Float(expected.entropy)], 0x1p-19))
    #expect(isClose([result.commitmentLoss], [Float(expected.error)], 0x1p-19))
  }

  /// With the noise of one draw, outputs and loss are smooth functions of inputs and parameters.
  @Test(arguments: kinds) func trainingGradients(kind: VarianceKind) throws {
    let layer = try Self.layer(kind) { $0.schedule.temperature = 1.5 }
    layer.logVariance.setValues([0.25])
    let start = try layer.sampling.generator.state.copied()
    let temperature = try layer.sampling.temperature.copied()
    let weights = try sample([2, 3, 3], seed: 1)
    func objective(_ z: Tensor, _ logVariance: Tensor) throws -> Tensor {
      try layer.sampling.generator.state.assign(start)
      try layer.sampling.temperature.assign(temperature)
      let result = try layer.quantize(z, logVariance: kind == .shared ? nil : logVariance)
      return try (result.zq * weights).sum() + result.loss
    }
    let z = try gridSample([2, 3, 3], seed: 2).requiringGrad()
    let v = try gridSample([2, 3, 3], seed: 3, scale: 0.5).requiringGrad()
    try objective(z, v).backward()
    func value(_ z: Tensor, _ v: Tensor) throws -> Double {
      Double(try objective(z.detached(), v.detached()).item())
    }
    // Float32 values near 8 in steps of 2e-2 leave 2^-20 / 1e-2, and third derivatives a few 1e-4.
    #expect(isClose(z.grad!.values, try centralDifferences(z) { try value($0, v) }, 1e-3))
    if kind == .shared {
      #expect(v.grad == nil)
    } else {
      #expect(isClose(v.grad!.values, try centralDifferences(v) { try value(z, $0) }, 1e-3))
    }
    for (name, parameter) in layer.namedParameters {
      let values = try parameter.copied()
      let expected = try centralDifferences(values) { changed in
        try parameter.assign(changed)
        return try value(z, v)
      }
      try parameter.assign(values)
      #expect(isClose(parameter.grad!.values, expected, 1e-3), "\(name)")
    }
  }

  @Test func startsAtTheLogarithmOfTwenty() throws {
    let layer = try Self.layer(.shared)
    #expect(layer.logVariance.values == [Float(log(20.0))])
    #expect(layer.namedParameters.map(\.name) == ["codebook", "log_variance"])
    #expect(layer.options.schedule.decay == 0.99999)
  }

  /// A mean of 1000 leaves float32 products about the origin without the differences of the codes.
  @Test(arguments: kinds) func farFromTheOriginNothingChanges(kind: VarianceKind) throws {
    let near = try Self.layer(kind, width: 8, codes: 32)
    let far = try Self.layer(kind, width: 8, codes: 32)
    let z = try gridSample([2, 50, 8], seed: 4)
    let codes = try gridSample([32, 8], seed: 5)
    near.codebook.setValues(codes.values)
    far.codebook.setValues(codes.values.map { $0 + 1024 })
    let variance = kind == .shared ? nil : try sample([2, 50, 8], seed: 6)
    for layer in [near, far] { layer.logVariance.setValues([-2]) }
    let here = try near.quantize(z, logVariance: variance)
    let there = try far.quantize(z + 1024, logVariance: variance)
    #expect(here.q.codes == there.q.codes)
    #expect(isClose([here.regularization], [there.regularization], 0x1p-12))
    // The output itself is rounded at 1024.
    #expect(isClose((try there.zq - 1024).values, here.zq.values, 0x1p-12))
  }

  @Test(arguments: kinds) func extremeVariancesStayFinite(kind: VarianceKind) throws {
    for logarithm: Float in [-1000, -23, 23, 1000] {
      let layer = try Self.layer(kind)
      layer.logVariance.setValues([logarithm])
      let z = try sample([2, 4, 3], seed: 7).requiringGrad()
      let v = try Tensor.full([2, 4, 3], logarithm).requiringGrad()
      let result = try layer.quantize(z, logVariance: kind == .shared ? nil : v)
      try (result.zq.sum() + result.loss).backward()
      #expect(try result.loss.item().isFinite)
      for tensor in [z, layer.codebook, layer.logVariance] + (kind == .shared ? [] : [v]) {
        #expect(tensor.grad!.values.allSatisfy { $0.isFinite })
      }
    }
  }

  /// Codes apart by less than float32 distances tell: the weighted sum is that of Float64.
  @Test func weightedCodesAreExact() throws {
    let (n, d, k) = (200, 19, 64)
    let x = try sample([n, d], seed: 8, mean: 300)
    let weights = try sample([n, d], seed: 9, mean: 5)
    let codebook = try sample([k, d], seed: 10, mean: 300, scale: 1e-4)
    let found = try Tensor("codes", codeShape: [n]) { out in
      x.read { x in
        weights.read { w in
          codebook.read {
            weightedNearestCode(x, weights: w, count: n, $0, codes: k, width: d, out)
          }
        }
      }
    }
    for row in 0..<n {
      let distances = (0..<k).map { j in
        (0..<d).reduce(0.0) { sum, l in
          let difference = Double(x.values[row * d + l]) - Double(codebook.values[j * d + l])
          return sum + Double(weights.values[row * d + l]) * (difference * difference)
        }
      }
      #expect(Int(found.codes[row]) == distances.firstIndex(of: distances.min()!)!)
    }
  }

  @Test func equalCodesGiveTheLowestIndex() throws {
    for kind in Self.kinds {
      let layer = try Self.layer(kind, width: 1, codes: 4)
      layer.isTraining = false
      layer.codebook.setValues([3, 1, 1, -1])
      let z = try Tensor([1, 0, 2], shape: [1, 3, 1])
      let result = try layer.quantize(z, logVariance: kind == .shared ? nil : z)
      #expect(result.q.codes == [1, 1, 0])
    }
  }

  /// A sample whose vectors are all left out is no sample, and one of three counts a third.
  @Test func lossIsTheMeanOverSamplesThatHaveVectors() throws {
    let layer = try Self.layer(.shared)
    layer.isTraining = false
    let z = try sample([3, 2, 3], seed: 11)
    let mask = try Tensor(codes: [1, 1, 0, 0, 1, 0], shape: [3, 2])
    let parts = try (0..<3).map { index in
      try layer.quantize(
        z.slice(axis: 0, from: index, to: index + 1),
        mask: mask.slice(axis: 0, from: index, to: index + 1)
      ).loss.item()
    }
    #expect(parts[1] == 0)
    let loss = try layer.quantize(z, mask: mask).loss.item()
    #expect(isClose([loss], [(parts[0] + parts[2]) / 2], 0x1p-21))
  }

  @Test func vectorsWithoutPositionsAreSamples() throws {
    let layer = try Self.layer(.sample)
    layer.isTraining = false
    let vectors = try Self.layer(.vector)
    vectors.isTraining = false
    let (z, v) = (try sample([4, 3], seed: 12), try sample([4, 3], seed: 13))
    let result = try layer.quantize(z, logVariance: v)
    #expect(try result.loss.item() == vectors.quantize(z, logVariance: v).loss.item())
    #expect(
      try layer.quantize(
        z.slice(axis: 0, from: 0, to: 1).reshape([3]),
        logVariance: v.slice(axis: 0, from: 0, to: 1).reshape([3])
      ).q.shape == [])
  }

  @Test func onlyElementVariancesMoveTheCode() throws {
    let z = try sample([40, 3], seed: 14)
    for kind in Self.kinds where kind != .element {
      let layer = try Self.layer(kind)
      #expect(try layer.encode(z).codes == nearestCodes(z, layer.codebook).codes.codes)
    }
    let layer = try Self.layer(.element)
    layer.logVariance.setValues([-9])
    let one = try layer.encode(z, logVariance: sample([40, 3], seed: 15, scale: 3)).codes
    #expect(one != (try layer.encode(z, logVariance: .zeros([40, 3])).codes))
    #expect(
      errorText { try layer.encode(z) }
        == "[sqvae_quant] logvar = none: type IV needs the encoder's log variance, of z's shape")
  }

  @Test func refusesLogVariancesThatDoNotFit() throws {
    let (one, three) = (try Self.layer(.shared), try Self.layer(.vector))
    let z = try sample([2, 3], seed: 16)
    #expect(
      errorText { try one.quantize(z, logVariance: z) }
        == "[sqvae_quant] logvar = [2, 3]: type I has one learned variance and takes none")
    #expect(
      errorText { try three.quantize(z) }
        == "[sqvae_quant] logvar = none: type III needs the encoder's log variance, of z's shape"
    )
    #expect(
      errorText { try three.quantize(z, logVariance: nil) }
        == "[sqvae_quant] logvar = none: type III needs the encoder's log variance, of z's shape"
    )
    #expect(
      errorText { try three.quantize(z, logVariance: .ones([2, 1])) }
        == "[sqvae_quant] shapes [2, 1] and [2, 3]: logvar must have z's shape")
    #expect(
      errorText { try three.quantize(z, logVariance: Tensor(codes: [1], shape: [1])) }
        == "[sqvae_quant] dtype int32: float32 is required")
    #expect(
      errorText {
        try three.quantize(z, logVariance: Tensor([0, 0, 0, .infinity, 0, 0], shape: [2, 3]))
      } == "[sqvae_quant] logvar holds inf at flat index 3: every element must be finite")
    #expect(errorText { try three.encode(z) } == "")
  }

  @Test func reconstructionLoss() throws {
    let x = try sample([4, 2, 3], seed: 17)
    let y = try sample([4, 2, 3], seed: 18)
    let squares = zip(x.values, y.values).reduce(0.0) { $0 + pow(Double($1.0) - Double($1.1), 2) }
    let loss = try gaussianReconstructionLoss(x, y)
    #expect(isClose([try loss.item()], [Float(3 * log(squares / 4))], 0x1p-21))
    try checkGradient(
      of: {
        try gaussianReconstructionLoss($0[0], $0[1])
      }, at: [gridSample([2, 3], seed: 19), gridSample([2, 3], seed: 20)])
    let equal = try x.requiringGrad()
    let floor = try gaussianReconstructionLoss(equal, x)
    #expect(isClose([try floor.item()], [3 * -87.33654], 1e-5))
    try floor.backward()
    #expect(equal.grad!.values.allSatisfy { $0 == 0 })
    #expect(
      errorText { try gaussianReconstructionLoss(x, .ones([4, 2])) }
        == "[sqvae_quant.reconstruction_loss] shapes [4, 2, 3] and [4, 2]: images [batch, ...] of "
        + "equal shapes are required")
    #expect(
      errorText { try gaussianReconstructionLoss(.ones([0, 2]), .ones([0, 2])) }
        == "[sqvae_quant.reconstruction_loss] shape [0, 2] has no elements: the mean needs at "
        + "least one value")
  }

  @Test func refusesBadOptions() {
    #expect(
      errorText { try Self.layer(.shared, width: 0) }
        == "[sqvae_quant] feature_size = 0: must be at least 1")
    #expect(
      errorText { try Self.layer(.shared, codes: 0) }
        == "[sqvae_quant] num_codes = 0: must be at least 1")
    #expect(
      errorText { try Self.layer(.shared, width: 1 << 31) }
        == "[sqvae_quant] sizes [2147483648, 6]: their product does not fit in memory")
    #expect(
      errorText { try Self.layer(.shared) { $0.schedule.decay = 0 } }
        == "[sqvae_quant] temperature_decay = 0.0: must be above 0 and at most 1")
  }
}
