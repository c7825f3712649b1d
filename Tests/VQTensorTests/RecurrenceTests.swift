import Glibc
import Testing
import VQTesting

@testable import VQTensor

@Suite struct RecurrenceTests {
  /// x, h, c, both weights, both biases.
  private static func inputs(
    _ cell: RecurrentCell, steps: Int, samples: Int, inputs: Int, width: Int
  ) throws -> [Tensor] {
    let rows = cell.gates * width
    let shapes = [
      [steps, samples, inputs], [samples, width], [samples, width], [rows, inputs], [rows, width],
      [rows], [rows],
    ]
    return try shapes.enumerated().map {
      try randomTensor($1, seed: UInt64($0 + 1), from: -0.75, to: 0.75)
    }
  }

  private static func run(
    _ cell: RecurrentCell, _ given: [Tensor], reversed: Bool
  ) throws -> (states: Tensor, cell: Tensor?) {
    try given[0].recurrence(
      cell, h: given[1], c: cell == .lstm ? given[2] : nil,
      RecurrentParameters(
        input: given[3], hidden: given[4], inputBias: given[5], hiddenBias: given[6]),
      reversed: reversed)
  }

  @Test(arguments: [RecurrentCell.tanh, .gru, .lstm], [false, true])
  func gradientsEqualDifferences(_ cell: RecurrentCell, _ reversed: Bool) throws {
    let all = try Self.inputs(cell, steps: 3, samples: 2, inputs: 2, width: 3)
    let given = cell == .lstm ? all : all.enumerated().filter { $0.offset != 2 }.map(\.element)
    try checkGradient(
      of: { leaves in
        var leaves = leaves
        if cell != .lstm { leaves.insert(all[2], at: 2) }
        let result = try Self.run(cell, leaves, reversed: reversed)
        guard let last = result.cell else { return result.states }
        return try Tensor.concatenate([result.states, last.reshape([1, 2, 3])], axis: 0)
      }, at: given)
  }

  @Test func handValues() throws {
    let one = try Tensor.ones([1, 1])
    let x = try Tensor([1, -3], shape: [2, 1, 1])
    let parameters = RecurrentParameters(input: one, hidden: one)
    let zero = try Tensor.zeros([1, 1])
    #expect(try x.recurrence(.relu, h: one, parameters).states.values == [2, 0])
    #expect(try x.recurrence(.relu, h: one, parameters, reversed: true).states.values == [1, 0])
    // All gates at 1/2, n at 0: h goes to its half.
    let gru = RecurrentParameters(
      input: try Tensor.zeros([3, 1]), hidden: try Tensor.zeros([3, 1]))
    #expect(try x.recurrence(.gru, h: one, gru).states.values == [0.5, 0.25])
    let lstm = RecurrentParameters(
      input: try Tensor.zeros([4, 1]), hidden: try Tensor.zeros([4, 1]))
    let result = try x.recurrence(.lstm, h: zero, c: one, lstm)
    #expect(result.cell!.values == [0.25])
    #expect(abs(result.states.values[1] - Float(Glibc.tanh(0.25) / 2)) < 1e-6)
  }

  @Test(arguments: RecurrentCell.allCases) func emptyAxes(_ cell: RecurrentCell) throws {
    for (steps, samples, inputs) in [(0, 2, 3), (2, 0, 3), (2, 2, 0)] {
      let leaves = try Self.inputs(
        cell, steps: steps, samples: samples, inputs: inputs, width: 4
      ).map { try $0.requiringGrad() }
      let result = try Self.run(cell, leaves, reversed: false)
      #expect(result.states.shape == [steps, samples, 4])
      try result.states.sum().backward()
      for leaf in leaves { #expect(leaf.grad == nil || leaf.grad!.shape == leaf.shape) }
      if steps * samples == 0 { #expect(leaves[3].grad!.values.allSatisfy { $0 == 0 }) }
    }
  }

  @Test func refusesBadArguments() throws {
    let (x, h) = (try Tensor.ones([2, 3, 4]), try Tensor.ones([3, 5]))
    func parameters(_ input: [Int], _ hidden: [Int]) throws -> RecurrentParameters {
      RecurrentParameters(input: try Tensor.ones(input), hidden: try Tensor.ones(hidden))
    }
    expectError("[gru] shape [10, 5]: the hidden weight must be [3 h, h] with h at least 1") {
      try x.recurrence(.gru, h: h, parameters([15, 4], [10, 5]))
    }
    expectError(
      "[gru] shapes [2, 3, 4] and [15, 3]: the input weight must be [15, 4]: gates of the hidden "
        + "weight, inputs of x"
    ) { try x.recurrence(.gru, h: h, parameters([15, 3], [15, 5])) }
    expectError("[lstm] it needs a cell beside h") {
      try x.recurrence(.lstm, h: h, parameters([20, 4], [20, 5]))
    }
    expectError("[gru] only an lstm has a cell") {
      try x.recurrence(.gru, h: h, c: h, parameters([15, 4], [15, 5]))
    }
    expectError("[rnn_tanh] shape [3, 4]: a state must be [3, 5]") {
      try x.recurrence(.tanh, h: Tensor.ones([3, 4]), parameters([5, 4], [5, 5]))
    }
    expectError("[rnn_tanh] shape [3, 5]: the input must be [t, n, i]") {
      try h.recurrence(.tanh, h: h, parameters([5, 4], [5, 5]))
    }
  }
}
