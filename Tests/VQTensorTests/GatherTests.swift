import Testing
import VQTesting

@testable import VQTensor

@Suite struct GatherTests {
  @Test func handValues() throws {
    let table = try Tensor([1, 2, 3, 4, 5, 6], shape: [3, 2])
    let codes = try Tensor(codes: [2, 0, 2, 2], shape: [2, 2])
    let rows = try table.gatherRows(codes)
    #expect(rows.shape == [2, 2, 2])
    #expect(rows.values == [5, 6, 1, 2, 5, 6, 5, 6])
    #expect(try rows.scatterAddRows(codes, rows: 3).values == [1, 2, 0, 0, 15, 18])
    #expect(try codes.oneHot(3).values == [0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 1])
  }

  @Test(arguments: [1, 2, 16, 19, 64]) func scatterEqualsReference(_ d: Int) throws {
    let codes = try Generator(seed: 2).integers([200], below: 7)
    let x = try randomTensor([200, d])
    var expected = [Double](repeating: 0, count: 7 * d)
    for (i, code) in codes.codes.enumerated() {
      for j in 0..<d { expected[Int(code) * d + j] += Double(x.values[i * d + j]) }
    }
    // At most 200 summands below 2 in sequence.
    expectClose(
      try x.scatterAddRows(codes, rows: 7), expected, relative: 0, absolute: 200 * 0x1p-24 * 100)
    try expectThreadIndependent { try x.scatterAddRows(codes, rows: 7) }
  }

  @Test func gradients() throws {
    let codes = try Tensor(codes: [2, 0, 2], shape: [3])
    try checkGradient(of: { try $0[0].gatherRows(codes) }, at: [randomTensor([3, 2])])
    try checkGradient(of: { try $0[0].scatterAddRows(codes, rows: 4) }, at: [randomTensor([3, 2])])
  }

  @Test func emptyAxes() throws {
    let none = try Tensor(codes: [], shape: [0])
    #expect(try Tensor.ones([3, 2]).gatherRows(none).shape == [0, 2])
    #expect(try Tensor.ones([0, 2]).gatherRows(none).shape == [0, 2])
    #expect(try Tensor.ones([0, 2]).scatterAddRows(none, rows: 2).values == [0, 0, 0, 0])
    #expect(try none.oneHot(4).shape == [0, 4])
    #expect(try Tensor.ones([3, 0]).gatherRows(Tensor(codes: [1], shape: [1])).shape == [1, 0])
  }

  @Test func refusesCodesOutOfRange() throws {
    let table = try Tensor.ones([3, 2])
    expectError("[gather_rows] index 3 is outside 0..<3") {
      try table.gatherRows(Tensor(codes: [0, 3, -1], shape: [3]))
    }
    expectError("[gather_rows] index -1 is outside 0..<3") {
      try table.gatherRows(Tensor(codes: [-1], shape: []))
    }
    expectError("[scatter_add_rows] index 2 is outside 0..<2") {
      try table.scatterAddRows(Tensor(codes: [0, 1, 2], shape: [3]), rows: 2)
    }
    expectError("[one_hot] index 5 is outside 0..<5") {
      try Tensor(codes: [5], shape: [1]).oneHot(5)
    }
    expectError("[gather_rows] index 0 is outside 0..<0") {
      try Tensor.ones([0, 2]).gatherRows(Tensor(codes: [0], shape: [1]))
    }
  }

  @Test func refusesWrongShapesAndTypes() throws {
    let table = try Tensor.ones([3, 2])
    let codes = try Tensor(codes: [0, 1], shape: [2])
    expectError("[gather_rows] shape [3]: a table [k, d] is required") {
      try Tensor.ones([3]).gatherRows(codes)
    }
    expectError("[gather_rows] dtype float32: codes must be int32") {
      try table.gatherRows(Tensor.ones([2]))
    }
    expectError(
      "[scatter_add_rows] shapes [3, 2] and [2]: the first must be the second and a last axis"
    ) { try table.scatterAddRows(codes, rows: 3) }
  }
}
