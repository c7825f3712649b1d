import Testing
import VQTesting

@testable import VQTensor

@Suite struct ProductPrecisionTests {
  /// `rounded`, and the CPU's own instruction where it has one.
  static let precisions: [ProductPrecision] =
    ProductPrecision.hasBFloat16 ? [.rounded, .bfloat16] : [.rounded]

  /// To the nearest number with 8 bits, ties to even.
  private func nearest(_ x: Tensor) throws -> Tensor {
    try Tensor(
      x.values.map {
        let bits = $0.bitPattern
        return Float(bitPattern: (bits + 0x7FFF + bits >> 16 & 1) & 0xFFFF_0000)
      }, shape: x.shape)
  }

  /// Numbers of more bits than bfloat16 has.
  private func numbers(_ shape: [Int], seed: UInt64) throws -> Tensor {
    try Generator(seed: seed).uniform(shape, from: -1, to: 1)
  }

  /// Gradients of sum(y * pull) at the operands, with the pull.
  private func gradients(
    _ precision: ProductPrecision, _ operands: [Tensor], _ body: ([Tensor]) throws -> Tensor
  ) throws -> (value: Tensor, pull: Tensor, gradients: [Tensor]) {
    let leaves = try operands.map { try $0.requiringGrad() }
    let value = try precision.within { try body(leaves) }
    let pull = try numbers(value.shape, seed: 9)
    // Backward runs outside of the block.
    try value.backward(pull)
    return (value, pull, leaves.map { $0.grad! })
  }

  /// The last sizes are enough for the instruction.
  @Test(
    arguments: precisions,
    [
      ([2, 3], [3, 4]), ([2, 1, 2, 3], [4, 3, 2]), ([90, 70], [70, 50]), ([3, 80, 70], [70, 60]),
    ])
  func productsAreOfRoundedOperands(_ precision: ProductPrecision, _ shapes: ([Int], [Int])) throws
  {
    let (a, b) = (try numbers(shapes.0, seed: 1), try numbers(shapes.1, seed: 2))
    let found = try gradients(precision, [a, b]) { try $0[0].matmul($0[1]) }
    let (x, y) = (try nearest(a), try nearest(b))
    let product = try Reference(x).product(Reference(y))
    expectClose(found.value, product.values, relative: 0, absolute: 0x1p-16)

    // Of the same in float32, whose pullback is tested elsewhere.
    let leaves = try [x, y].map { try $0.requiringGrad() }
    try leaves[0].matmul(leaves[1]).backward(nearest(found.pull))
    for (gradient, leaf) in zip(found.gradients, leaves) {
      expectClose(
        gradient, leaf.grad!.values.map(Double.init), relative: 0, absolute: 0x1p-14)
    }
  }

  @Test(arguments: precisions, [[5, 3, 4], [128, 60, 50]])
  func linearRoundsNoBias(_ precision: ProductPrecision, _ sizes: [Int]) throws {
    let x = try numbers([sizes[0], sizes[1]], seed: 1)
    let weight = try numbers([sizes[2], sizes[1]], seed: 2)
    let bias = try numbers([sizes[2]], seed: 3)
    let found = try gradients(precision, [x, weight, bias]) {
      try $0[0].linear($0[1], bias: $0[2])
    }
    let product = try Reference(nearest(x)).product(Reference(nearest(weight).transposed()))
    let expected = product.values.indices.map {
      product.values[$0] + Double(bias.values[$0 % sizes[2]])
    }
    expectClose(found.value, expected, relative: 0, absolute: 0x1p-16)
    expectClose(
      found.gradients[2], columnSums(found.pull.values, columns: sizes[2]), relative: 0,
      absolute: 0x1p-16)
  }

  @Test(arguments: precisions, [(1, 8), (2, 8), (1, 32), (2, 32)])
  func convolutionsAreOfRoundedOperands(
    _ precision: ProductPrecision, _ sizes: (Int, Int)
  ) throws {
    let (stride, channels) = sizes
    let x = try numbers([2, 9, 8, channels], seed: 1)
    let weight = try numbers([channels, channels, 3, 3], seed: 2)
    let bias = try numbers([channels], seed: 3)
    let (x16, weight16) = (try nearest(x), try nearest(weight))
    for isTransposed in [false, true] {
      func apply(_ operands: [Tensor]) throws -> Tensor {
        let bias = operands.count > 2 ? operands[2] : nil
        return isTransposed
          ? try operands[0].convTranspose2d(
            operands[1], bias: bias, stride: (stride, stride), padding: (1, 1))
          : try operands[0].conv2d(
            operands[1], bias: bias, stride: (stride, stride), padding: (1, 1))
      }
      let found = try gradients(precision, [x, weight, bias], apply)
      let leaves = try [x16, weight16, bias].map { try $0.requiringGrad() }
      let value = try apply(leaves)
      expectClose(found.value, value.values.map(Double.init), relative: 0, absolute: 0x1p-12)
      try value.backward(nearest(found.pull))
      for index in 0..<2 {
        expectClose(
          found.gradients[index], leaves[index].grad!.values.map(Double.init), relative: 0,
          absolute: 0x1p-11)
      }
      expectClose(
        found.gradients[2], columnSums(found.pull.values, columns: channels), relative: 0,
        absolute: 0x1p-12)
    }
  }

  @Test func nestsAndReturns() throws {
    #expect(ProductPrecision.current == .float32)
    ProductPrecision.rounded.within {
      #expect(ProductPrecision.current == .rounded)
      ProductPrecision.float32.within { #expect(ProductPrecision.current == .float32) }
      #expect(throws: VQError.self) {
        try ProductPrecision.float32.within { try Tensor([1], shape: [1]).reshape([2]) }
      }
      #expect(ProductPrecision.current == .rounded)
    }
    #expect(ProductPrecision.current == .float32)
  }

  @Test func checkpointsComputeAgainAsBefore() throws {
    let (x, weight) = (try numbers([6, 5], seed: 1), try numbers([4, 5], seed: 2))
    let plain = try gradients(.rounded, [x, weight]) { try $0[0].linear($0[1]) }
    let again = try gradients(.rounded, [x, weight]) {
      try Tensor.checkpoint($0) { try $0[0].linear($0[1]) }
    }
    #expect(plain.value.values == again.value.values)
    #expect(plain.gradients.map(\.values) == again.gradients.map(\.values))
  }

  #if VQ_ONEDNN
    /// Everything but the elements' size is the same for both types.
    @Test func oneDNNMultipliesWholeNumbersExactly() throws {
      #expect(OneDNNElement.float32.isRight)
      #expect(OneDNNElement.bfloat16.isRight || !ProductPrecision.hasBFloat16)
    }

    @Test(
      arguments: [(3, 2, 4), (70, 290, 9), (300, 260, 33), (20, 30, 5000)], [Float(0), 1])
    func oneDNNAgreesWithOurProducts(_ sizes: (Int, Int, Int), _ beta: Float) throws {
      let (m, n, k) = sizes
      for (transposeA, transposeB) in [(false, false), (true, false), (false, true), (true, true)] {
        let (lda, ldb) = ((transposeA ? m : k) + 3, (transposeB ? k : n) + 2)
        let a = try numbers([transposeA ? k : m, lda], seed: 1)
        let b = try numbers([transposeB ? n : k, ldb], seed: 2)
        let (found, expected) = (
          try numbers([m, n + 1], seed: 3), try numbers([m, n + 1], seed: 3)
        )
        try found.mutate { out in
          try gemm(
            .float32, transposeA: transposeA, transposeB: transposeB, m: m, n: n, k: k, a.bytes,
            lda: lda, b.bytes, ldb: ldb, beta: beta, out, ldc: n + 1)
        }
        try expected.mutate { out in
          try gemm(
            transposeA: transposeA, transposeB: transposeB, m: m, n: n, k: k, a.storage.floats,
            lda: lda, b.storage.floats, ldb: ldb, beta: beta, out, ldc: n + 1, library: .openBLAS)
        }
        expectClose(
          found, expected.values.map(Double.init), relative: 0,
          absolute: Double(k) * 0x1p-18)
      }
    }
  #endif
}
