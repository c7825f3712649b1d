import Glibc
import Testing
import VQTesting

@testable import VQTensor

@Suite struct LossTests {
  @Test func handValues() throws {
    let x = try Tensor([1, 2, 3], shape: [3]).requiringGrad()
    let y = try Tensor([1, 0, 6], shape: [3]).requiringGrad()
    let squared = try x.meanSquaredError(y)
    #expect(try squared.item() == Float(13.0 / 3))
    try squared.backward()
    #expect(x.grad!.values == [0, Float(4.0 / 3), -2])
    #expect(y.grad!.values == [0, Float(-4.0 / 3), 2])
    (x.grad, y.grad) = (nil, nil)
    let absolute = try x.meanAbsoluteError(y)
    #expect(try absolute.item() == Float(5.0 / 3))
    try absolute.backward()
    #expect(x.grad!.values == [0, Float(1.0 / 3), Float(-1.0 / 3)])
    let even = try Tensor.zeros([2, 4]).crossEntropy(Tensor(codes: [0, 3], shape: [2]))
    #expect(try even.item() == Float(Glibc.log(4.0)))
  }

  @Test(arguments: [1, 700, 40_000]) func differencesEqualReference(_ count: Int) throws {
    let (x, y) = try (randomTensor([count]), randomTensor([count], seed: 2))
    let pairs = zip(x.values, y.values).map { Double($0) - Double($1) }
    // Partial sums of 32 positive numbers: 33 * 2^-24 of the result.
    expectClose(
      try x.meanSquaredError(y), [pairs.reduce(0) { $0 + $1 * $1 } / Double(count)],
      relative: 36 * 0x1p-24)
    expectClose(
      try x.meanAbsoluteError(y), [pairs.reduce(0) { $0 + Swift.abs($1) } / Double(count)],
      relative: 34 * 0x1p-24)
    try expectThreadIndependent { try x.meanSquaredError(y) }
  }

  @Test(arguments: [Float(0), 0.1, 1]) func crossEntropyEqualsReference(_ smoothing: Float) throws {
    let (n, k) = (5, 37)
    let x = try randomTensor([n, k], from: -8, to: 8)
    let labels = try Generator(seed: 9).integers([n], below: k)
    var total = 0.0
    for (row, label) in labels.codes.enumerated() {
      let logits = x.values[(row * k)..<((row + 1) * k)].map(Double.init)
      let logSum = Glibc.log(logits.reduce(0) { $0 + Glibc.exp($1) })
      for (j, logit) in logits.enumerated() {
        let share = Double(smoothing) / Double(k)
        total += (logSum - logit) * ((j == Int(label) ? 1 - Double(smoothing) : 0) + share)
      }
    }
    expectClose(
      try x.crossEntropy(labels, labelSmoothing: smoothing), [total / Double(n)],
      relative: 40 * 0x1p-24)
  }

  @Test func gradientsEqualDifferences() throws {
    let (x, y) = try (randomTensor([2, 3]), randomTensor([2, 3], seed: 2, from: 3, to: 4))
    try checkGradient(of: { try $0[0].meanSquaredError($0[1]) }, at: [x, y])
    try checkGradient(of: { try $0[0].meanAbsoluteError($0[1]) }, at: [x, y])
    let labels = try Tensor(codes: [2, 0], shape: [2])
    try checkGradient(of: { try $0[0].crossEntropy(labels) }, at: [x])
    try checkGradient(of: { try $0[0].crossEntropy(labels, labelSmoothing: 0.2) }, at: [x])
    try checkGradient(
      of: { try $0[0].crossEntropy(Tensor(codes: [0, 0], shape: [2])) }, at: [randomTensor([2, 1])])
  }

  @Test func refusesBadArguments() throws {
    let x = try Tensor.ones([2, 3])
    expectError("[mse_loss] shapes [2, 3] and [3]: they must be equal") {
      try x.meanSquaredError(Tensor.ones([3]))
    }
    expectError("[l1_loss] shapes [2, 3] and [2, 1]: they must be equal") {
      try x.meanAbsoluteError(Tensor.ones([2, 1]))
    }
    expectError("[mse_loss] shape [0, 3] has no elements: the mean needs at least one") {
      try Tensor.ones([0, 3]).meanSquaredError(Tensor.ones([0, 3]))
    }
    let labels = try Tensor(codes: [0, 3], shape: [2])
    expectError("[cross_entropy] index 3 is outside 0..<3") { try x.crossEntropy(labels) }
    expectError("[cross_entropy] dtype float32: codes must be int32") {
      try x.crossEntropy(Tensor.ones([2]))
    }
    expectError(
      "[cross_entropy] shapes [2, 3] and [3]: logits [n, k] and labels [n] are required"
    ) { try x.crossEntropy(Tensor(codes: [0, 0, 0], shape: [3])) }
    expectError("[cross_entropy] label_smoothing = 1.5: must be in 0...1") {
      try x.crossEntropy(labels, labelSmoothing: 1.5)
    }
    expectError("[cross_entropy] shape [0, 3] has no elements: the mean needs at least one") {
      try Tensor.ones([0, 3]).crossEntropy(Tensor(codes: [], shape: [0]))
    }
  }
}
