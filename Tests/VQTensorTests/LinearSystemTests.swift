import Testing
import VQTesting

@testable import VQTensor

@Suite struct LinearSystemTests {
  @Test func handValue() throws {
    // [1, 1] [[1, 2], [3, 4]] = [4, 6].
    let w = try Tensor([1, 2, 3, 4], shape: [2, 2])
    let x = try #require(try solveRows(Tensor([4, 6, 1, 2], shape: [2, 2]), w))
    #expect(x.shape == [2, 2])
    expectClose(x, [1, 1, 1, 0], absolute: 1e-7)
    #expect(
      try #require(try solveRows(Tensor([6], shape: [1, 1]), Tensor([4], shape: [1, 1]))).values
        == [1.5])
  }

  @Test(arguments: [(1, 1), (5, 3), (2, 40), (300, 64)]) func undoesTheProduct(m: Int, d: Int)
    throws
  {
    let x = try randomTensor([m, d], seed: 1)
    let w = try randomTensor([d, d], seed: 2)
    // The product in Float64, rounded once.
    let product = try Reference(x).product(Reference(w)).values.map(Float.init)
    let found = try #require(try solveRows(Tensor(product, shape: [m, d]), w))
    // The rounding of the product, 2^-24 of about 2 sqrt(d), times the inverse: below 10 sqrt(d)
    // here.
    expectClose(found, x.values.map(Double.init), absolute: 0x1p-23 * 20 * Double(d))
  }

  @Test(
    arguments: [
      [1, 2, 2, 4], [0, 0, 0, 0], [1, 0, 0, 0], [.nan, 0, 0, 1], [.infinity, 0, 0, 1],
    ] as [[Float]])
  func singularMatricesHaveNoSolution(w: [Float]) throws {
    #expect(try solveRows(Tensor.ones([3, 2]), Tensor(w, shape: [2, 2])) == nil)
  }

  /// Its last pivot is rounding alone.
  @Test func singularUpToRoundingHasNoSolution() throws {
    let w = try Tensor(
      [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9].map { $0 * 10 }, shape: [3, 3])
    #expect(try solveRows(Tensor.ones([1, 3]), w) == nil)
  }

  @Test func overflowHasNoSolution() throws {
    let w = try Tensor([1e-30, 0, 0, 1e-30], shape: [2, 2])
    #expect(try solveRows(Tensor.full([1, 2], 1e30), w) == nil)
    #expect(try solveRows(Tensor([.nan, 1], shape: [1, 2]), w) == nil)
    #expect(try solveRows(Tensor.full([1, 2], 1e-30), w)?.values == [1, 1])
  }

  @Test func noRows() throws {
    #expect(try solveRows(Tensor([], shape: [0, 2]), Tensor.ones([2, 2]))?.shape == [0, 2])
  }

  @Test func sameForEveryThreadCount() throws {
    let (x, w) = (try randomTensor([200, 130], seed: 3), try randomTensor([130, 130], seed: 4))
    try expectThreadIndependent { try #require(try solveRows(x, w)) }
  }

  @Test func refusals() throws {
    expectError("[solve_rows] shapes [2, 3] and [2, 2]: values [m, d] and w [d, d] are required") {
      try solveRows(Tensor.ones([2, 3]), Tensor.ones([2, 2])) as Any
    }
    expectError("[solve_rows] dtypes int32 and float32: float32 is required") {
      try solveRows(Tensor(codes: [1], shape: [1, 1]), Tensor.ones([1, 1])) as Any
    }
  }
}
