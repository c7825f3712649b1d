import Testing
import VQTesting

@testable import VQTensor

/// Batch normalization by definition, in Float64; `gradient` is that of the output.
private struct BatchNormReference {
  var y, xGradient, scaleGradient, shiftGradient, mean, variance: [Double]

  init(
    _ x: [Float], _ scale: [Float], _ shift: [Float], gradient: [Float], relu: Bool,
    epsilon: Double, moments: (mean: [Float], variance: [Float])? = nil
  ) {
    let (c, rows) = (scale.count, x.count / scale.count)
    func zeros(_ count: Int) -> [Double] { [Double](repeating: 0, count: count) }
    (y, xGradient) = (zeros(x.count), zeros(x.count))
    (scaleGradient, shiftGradient, mean, variance) = (zeros(c), zeros(c), zeros(c), zeros(c))
    for channel in 0..<c {
      let places = (0..<rows).map { $0 * c + channel }
      let values = places.map { Double(x[$0]) }
      mean[channel] =
        moments.map { Double($0.mean[channel]) } ?? values.reduce(0, +) / Double(rows)
      variance[channel] =
        moments.map { Double($0.variance[channel]) }
        ?? values.reduce(0) { $0 + ($1 - mean[channel]) * ($1 - mean[channel]) } / Double(rows)
      let inverse = 1 / (variance[channel] + epsilon).squareRoot()
      let (a, b) = (Double(scale[channel]), Double(shift[channel]))
      let normalized = values.map { ($0 - mean[channel]) * inverse }
      var kept: [Double] = []
      for (place, value) in zip(places, normalized) {
        let output = value * a + b
        y[place] = relu ? max(output, 0) : output
        kept.append(relu && output <= 0 ? 0 : Double(gradient[place]))
      }
      shiftGradient[channel] = kept.reduce(0, +)
      scaleGradient[channel] = zip(kept, normalized).reduce(0) { $0 + $1.0 * $1.1 }
      for (index, place) in places.enumerated() {
        let pulled =
          (shiftGradient[channel] + normalized[index] * scaleGradient[channel]) / Double(rows)
        xGradient[place] = a * inverse * (kept[index] - (moments == nil ? pulled : 0))
      }
    }
  }
}

@Suite struct BatchNormTests {
  private func statistics(_ c: Int) throws -> (mean: Tensor, variance: Tensor) {
    (try Tensor.zeros([c]), try Tensor.ones([c]))
  }

  @Test func handValue() throws {
    let x = try Tensor([1, 10, 3, 30], shape: [2, 2])
    let (mean, variance) = try statistics(2)
    let y = try x.batchNorm(
      scale: Tensor([2, 1], shape: [2]), shift: Tensor([1, 0], shape: [2]), runningMean: mean,
      runningVariance: variance, training: true, epsilon: 0)
    #expect(y.values == [-1, -1, 3, 1])
    // 0.9 * 0 + 0.1 * (2, 20), 0.9 * 1 + 0.1 * (2, 200): the unbiased variance.
    expectClose(mean, [0.2, 2], relative: 0, absolute: 1e-6)
    expectClose(variance, [1.1, 20.9], relative: 0, absolute: 4e-6)
  }

  /// Sums carry `32 * 2^-24 = 2^-19` of their terms, here below 2; dividing by the deviation
  /// multiplies that by at most `gain`.
  @Test(
    arguments: [[2, 3], [700, 5], [3, 4, 5, 64], [5, 1, 1, 1], [600, 3, 17], [900, 16]],
    [false, true])
  func agreesWithFloat64(shape: [Int], relu: Bool) throws {
    let c = shape.last!
    let x = try randomTensor(shape, seed: 1, from: -1, to: 1).requiringGrad()
    let scale = try randomTensor([c], seed: 2, from: 0.5, to: 2).requiringGrad()
    let shift = try randomTensor([c], seed: 3, from: -1, to: 1).requiringGrad()
    let gradient = try randomTensor(shape, seed: 4, from: -1, to: 1)
    for training in [true, false] {
      let mean = try randomTensor([c], seed: 5, from: -1, to: 1)
      let variance = try randomTensor([c], seed: 6, from: 0.5, to: 2)
      let reference = BatchNormReference(
        x.values, scale.values, shift.values, gradient: gradient.values, relu: relu, epsilon: 1e-5,
        moments: training ? nil : (mean.values, variance.values))
      let (before, beforeVariance) = (mean.values, variance.values)
      let y = try x.batchNorm(
        scale: scale, shift: shift, runningMean: mean, runningVariance: variance,
        training: training, momentum: 0.25, fusedReLU: relu)
      (x.grad, scale.grad, shift.grad) = (nil, nil, nil)
      try y.backward(gradient)
      let gain = 2 / (reference.variance.min()! + 1e-5).squareRoot()
      let (unit, rows) = (0x1p-18 * gain, Double(x.count / c))
      expectClose(y, reference.y, absolute: unit)
      expectClose(try #require(shift.grad), reference.shiftGradient, absolute: 0x1p-18 * rows)
      expectClose(try #require(scale.grad), reference.scaleGradient, absolute: unit * rows)
      expectClose(try #require(x.grad), reference.xGradient, absolute: unit * gain * gain)
      expectClose(
        mean,
        zip(before, reference.mean).map { training ? 0.75 * Double($0) + 0.25 * $1 : Double($0) },
        relative: 0, absolute: 1e-6)
      expectClose(
        variance,
        zip(beforeVariance, reference.variance).map {
          training ? 0.75 * Double($0) + 0.25 * $1 * rows / (rows - 1) : Double($0)
        }, relative: 0, absolute: 2e-6)
    }
  }

  /// Third derivatives near 1 make a difference with step 2^-6 wrong by about 1e-4.
  @Test(arguments: [true, false])
  func centralDifferences(training: Bool) throws {
    let inputs = [
      try randomTensor([3, 2, 2, 3], seed: 1, from: -1, to: 1),
      try randomTensor([3], seed: 2, from: -1, to: 1),
      try randomTensor([3], seed: 3, from: -1, to: 1),
    ]
    try checkGradient(
      of: {
        let (mean, variance) = try statistics(3)
        return try $0[0].batchNorm(
          scale: $0[1], shift: $0[2], runningMean: mean, runningVariance: variance,
          training: training)
      }, at: inputs)
  }

  @Test func notANumberPassesThroughReLU() throws {
    let x = try Tensor([Float](repeating: 1, count: 63) + [.nan], shape: [4, 16])
    let (mean, variance) = try statistics(16)
    let y = try x.batchNorm(
      scale: Tensor.ones([16]), shift: Tensor.zeros([16]), runningMean: mean,
      runningVariance: variance, training: true, fusedReLU: true)
    #expect(y.values.last!.isNaN && variance.values.last!.isNaN)
  }

  @Test func resultsDoNotDependOnThreads() throws {
    let x = try randomTensor([5000, 24], seed: 1, from: -1, to: 1)
    let gradient = try randomTensor([5000, 24], seed: 2)
    try expectThreadIndependent {
      let (mean, variance) = try statistics(24)
      let (leaf, scale) = (try x.requiringGrad(), try Tensor.ones([24]).requiringGrad())
      try leaf.batchNorm(
        scale: scale, shift: Tensor.zeros([24]), runningMean: mean, runningVariance: variance,
        training: true
      ).backward(gradient)
      return try leaf.grad! * scale.grad!
    }
  }

  @Test func offsetDoesNotDrownTheVariance() throws {
    let small = try randomTensor([4096, 2], seed: 1, from: -1, to: 1)
    let (mean, variance) = try statistics(2)
    func normalized(_ x: Tensor) throws -> [Float] {
      try x.batchNorm(
        scale: Tensor.ones([2]), shift: Tensor.zeros([2]), runningMean: mean,
        runningVariance: variance, training: true
      ).values
    }
    // The inputs lose 10 bits to the offset, hence 2^-14 of the unit deviation each.
    try expectClose(
      Tensor(normalized(small + 1024), shape: [8192]), normalized(small).map(Double.init),
      relative: 0, absolute: 0x1p-12)
  }

  @Test func evaluationOfEmptyBatch() throws {
    let (mean, variance) = try statistics(3)
    let x = try Tensor.zeros([0, 2, 2, 3])
    let y = try x.batchNorm(
      scale: Tensor.ones([3]), shift: Tensor.zeros([3]), runningMean: mean,
      runningVariance: variance, training: false)
    #expect(y.shape == [0, 2, 2, 3])
  }

  @Test func errors() throws {
    let (mean, variance) = try statistics(3)
    let (scale, shift) = (try Tensor.ones([3]), try Tensor.zeros([3]))
    func normalized(_ shape: [Int], _ scale: Tensor, momentum: Float = 0.1, epsilon: Float = 1e-5)
      throws -> Tensor
    {
      try Tensor.zeros(shape).batchNorm(
        scale: scale, shift: shift, runningMean: mean, runningVariance: variance, training: true,
        momentum: momentum, epsilon: epsilon)
    }
    expectError("[batch_norm] shape [3]: the input must be [n, ..., c], of rank 2 or more") {
      try normalized([3], scale)
    }
    expectError("[batch_norm] shapes [2, 4] and [3]: the scale must have the shape [4]") {
      try normalized([2, 4], scale)
    }
    expectError("[batch_norm] shape [1, 1, 1, 3]: training needs more than one value per channel") {
      try normalized([1, 1, 1, 3], scale)
    }
    expectError(
      "[batch_norm] shape [0, 4, 4, 3] has no elements: training needs values to take moments of"
    ) { try normalized([0, 4, 4, 3], scale) }
    expectError("[batch_norm] momentum = 1.5: must be between 0 and 1") {
      try normalized([2, 3], scale, momentum: 1.5)
    }
    expectError("[batch_norm] epsilon = -1.0: must be finite and at least 0") {
      try normalized([2, 3], scale, epsilon: -1)
    }
    #expect(mean.values == [0, 0, 0] && variance.values == [1, 1, 1])
  }
}
