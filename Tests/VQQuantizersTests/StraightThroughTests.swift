import Testing
import VQTesting

@testable import VQQuantizers

@Suite struct StraightThroughTests {
  /// The same from plain operators.
  private func composition(
    _ z: Tensor, _ codebook: Tensor, _ codes: Tensor, beta: Float
  ) throws -> (output: Tensor, loss: Tensor) {
    let values = try codebook.gatherRows(codes)
    let (encoder, book) = (
      try (z - values.detached()).square().mean(), try (z.detached() - values).square().mean()
    )
    return (
      try z + (values.detached() - z.detached()), try encoder * (1 - beta) + book * beta
    )
  }

  struct Size: CustomTestStringConvertible {
    var n, k, d: Int
    var testDescription: String { "n \(n) k \(k) d \(d)" }
  }

  @Test(arguments: [
    Size(n: 1, k: 1, d: 1), Size(n: 5, k: 3, d: 2), Size(n: 700, k: 11, d: 17),
    Size(n: 600, k: 1, d: 3), Size(n: 3, k: 200, d: 33),
  ])
  func equalsItsComposition(_ size: Size) throws {
    let (beta, nu): (Float, Float) = (0.7, 0.3)
    let z = try sample([size.n, size.d], seed: 1).requiringGrad()
    let codebook = try sample([size.k, size.d], seed: 2).requiringGrad(.codebook)
    let weights = try sample([size.n, size.d], seed: 3)
    let codes = try nearestCodes(z, codebook).codes

    let fused = try StraightThrough(
      z, codes: codes, synchronized: codebook, compared: codebook, nu: nu, beta: beta)
    try ((fused.output * weights).sum() + fused.loss * 2).backward()
    let gradients = (z.grad!.values, codebook.grad!.values)
    z.grad = nil
    codebook.grad = nil

    let plain = try composition(z, codebook, codes, beta: beta)
    try ((plain.output * weights).sum() + plain.loss * 2).backward()
    let synchronized = try weights.scatterAddRows(codes, rows: size.k) * nu

    #expect(fused.output.values == (try codebook.gatherRows(codes)).values)
    // Sums of N squares in float32 by sixteen partial sums: eps N^(1/2) at most.
    #expect(isClose(fused.loss.values, plain.loss.values, 1e-6))
    #expect(isClose(gradients.0, z.grad!.values, 1e-6))
    // A code sums up to n terms of size 1 in float32 on the plain side.
    let expected = try codebook.grad! + synchronized
    #expect(isClose(gradients.1, expected.values, 6e-8 * Float(size.n).squareRoot() * 8))
    #expect(
      isClose(
        fused.squaredDistances.values, try nearestCodes(z, codebook).squaredDistances.values, 1e-6))
  }

  /// The loss is quadratic, so central differences carry rounding alone: eps / step.
  @Test func gradientsAreCentralDifferences() throws {
    let z = try sample([6, 3], seed: 4).requiringGrad()
    let codebook = try sample([4, 3], seed: 5).requiringGrad(.codebook)
    let codes = try nearestCodes(z, codebook).codes
    func loss(_ z: Tensor, _ codebook: Tensor, beta: Float) throws -> Tensor {
      try StraightThrough(
        z, codes: codes, synchronized: codebook, compared: codebook, nu: 0, beta: beta
      ).loss
    }
    try loss(z, codebook, beta: 0).backward()
    #expect(codebook.grad == nil)
    let inZ = try centralDifferences(z) { try Double(loss($0, codebook, beta: 0).item()) }
    #expect(isClose(z.grad!.values, inZ, 2e-5))
    z.grad = nil
    try loss(z, codebook, beta: 1).backward()
    #expect(z.grad == nil)
    let inCodebook = try centralDifferences(codebook) { try Double(loss(z, $0, beta: 1).item()) }
    #expect(isClose(codebook.grad!.values, inCodebook, 2e-5))
  }

  @Test func zeroGradientForUnusedCode() throws {
    let z = try Tensor([0, 1], shape: [2, 1])
    let codebook = try Tensor([0, 1, 9], shape: [3, 1]).requiringGrad(.codebook)
    let result = try StraightThrough(
      z, codes: nearestCodes(z, codebook).codes, synchronized: codebook, compared: codebook, nu: 1,
      beta: 1)
    try (result.output.sum() + result.loss).backward()
    #expect(codebook.grad!.values == [1, 1, 0])
  }

  @Test func sameForEveryThreadCount() throws {
    let z = try sample([2500, 9], seed: 6).requiringGrad()
    let codebook = try sample([13, 9], seed: 7).requiringGrad(.codebook)
    let codes = try nearestCodes(z, codebook).codes
    let weights = try sample([2500, 9], seed: 8)
    func gradients(_ threads: Int) throws -> ([Float], [Float], [Float]) {
      z.grad = nil
      codebook.grad = nil
      return try withThreads(threads) {
        let result = try StraightThrough(
          z, codes: codes, synchronized: codebook, compared: codebook, nu: 0.5, beta: 0.5)
        try result.output.backward(weights)
        try result.loss.backward()
        return (z.grad!.values, codebook.grad!.values, result.loss.values)
      }
    }
    let (one, two) = (try gradients(1), try gradients(2))
    #expect(one == two)
  }

  @Test func refusesBadCodesAndShapes() throws {
    let (z, codebook) = (try Tensor.ones([2, 3]), try Tensor.ones([4, 3]))
    func text(_ codes: [Int32], _ z: Tensor) -> String {
      errorText {
        try StraightThrough(
          z, codes: Tensor(codes: codes, shape: [codes.count]), synchronized: codebook,
          compared: codebook, nu: 0, beta: 0)
      }
    }
    #expect(text([0, 4], z) == "[straight_through] index 4 is outside 0..<4")
    #expect(
      text([0], z)
        == "[straight_through] shapes [2, 3] and [1] and [4, 3] and [4, 3]: z [n, d], codes [n] and codebooks [k, d] are required"
    )
    #expect(
      try text([], .ones([0, 3]))
        == "[straight_through] shape [0, 3] has no elements: at least one vector is required")
  }

  @Test func unitRowsHaveLengthOne() throws {
    let x = try Tensor([3, 4, 0, 0, 1e30, 1e30, 0x1p-133, 0], shape: [4, 2])
    let root: Float = 0.70710677
    #expect(try x.unitRows().values == [0.6, 0.8, 0, 0, root, root, 1, 0])
    #expect(try Tensor([], shape: [0, 3]).unitRows().shape == [0, 3])
    #expect(
      errorText { try Tensor.ones([]).unitRows() }
        == "[unit_rows] shape []: a last axis of at least one element is required")
  }

  @Test(arguments: [1, 2, 11]) func unitRowsGradient(width: Int) throws {
    let x = try sample([5, width], seed: 9, mean: 1.5, scale: 0.3).requiringGrad()
    let weights = try sample([5, width], seed: 10)
    try x.unitRows().backward(weights)
    // Third derivatives are below 20 at |x| >= 0.5, so step^2 / 6 of them and eps / step remain.
    let expected = try centralDifferences(x) { try dot($0.unitRows(), weights) }
    #expect(isClose(x.grad!.values, expected, 5e-4))
  }

  @Test func zeroRowHasZeroGradient() throws {
    let x = try Tensor([0, 0, 3, 4], shape: [2, 2]).requiringGrad()
    try x.unitRows().backward(Tensor([1, 2, 1, 0], shape: [2, 2]))
    // (g - (g.y) y) / |x| = ([1, 0] - 0.6 [0.6, 0.8]) / 5.
    #expect(isClose(x.grad!.values, [0, 0, 0.128, -0.096], 1e-7))
  }
}
