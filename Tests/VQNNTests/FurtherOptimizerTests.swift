import Testing
import VQTesting

@testable import VQNN
@testable import VQTensor

@Suite struct FurtherOptimizerTests {
  /// Three steps from a matrix [2, 3] with gradients of seeds 1...3.
  private func trajectory(_ make: ([ParameterGroup]) throws -> Optimizer) throws -> [Float] {
    let p = try Generator(seed: 0).normal([2, 3]).asLeaf()
    let optimizer = try make([ParameterGroup([p], learningRate: 0.1, weightDecay: 0.1)])
    for seed in 1...3 {
      p.grad = try Generator(seed: UInt64(seed)).normal([2, 3])
      try optimizer.step()
    }
    return p.values
  }

  @Test(arguments: ["rmsprop", "adagrad", "lion", "adafactor", "muon"])
  func resumedRunEqualsTheUnbroken(_ kind: String) throws {
    func make(_ p: Tensor) throws -> Optimizer {
      let groups = [ParameterGroup([p], learningRate: 0.1, weightDecay: 0.1)]
      switch kind {
      case "rmsprop":
        var options = RMSpropOptions()
        (options.centered, options.momentum) = (true, 0.5)
        return try RMSprop(options, groups: groups)
      case "adagrad": return try Adagrad(groups: groups)
      case "lion": return try Lion(groups: groups)
      case "adafactor": return try Adafactor(groups: groups)
      default: return try Muon(groups: groups)
      }
    }
    let p = try Generator(seed: 0).normal([2, 3]).asLeaf()
    let optimizer = try make(p)
    p.grad = try Generator(seed: 1).normal([2, 3])
    try optimizer.step()
    let q = try p.asLeaf()
    let resumed = try make(q)
    try resumed.load(state: optimizer.state)
    for seed in 2...4 {
      let gradient = try Generator(seed: UInt64(seed)).normal([2, 3])
      (p.grad, q.grad) = (gradient, gradient)
      try optimizer.step()
      try resumed.step()
    }
    #expect(p.values == q.values)
  }

  @Test func groupsHaveTheirOwnBetas() throws {
    var options = LionOptions()
    options.betas = (0.5, 0.75)
    let every = try trajectory { try Lion(options, groups: $0) }
    let own = try trajectory { groups in
      try Lion(
        groups: groups.map {
          ParameterGroup($0.parameters, learningRate: 0.1, weightDecay: 0.1, betas: (0.5, 0.75))
        })
    }
    #expect(every == own)
  }

  @Test func momentsHaveTheirNamesAndShapes() throws {
    let p = try Tensor.ones([2, 3, 4]).requiringGrad()
    p.grad = try Tensor.full([2, 3, 4], 2)
    let optimizer = try Adafactor(groups: [ParameterGroup([p], learningRate: 0.1)])
    try optimizer.step()
    let state = try optimizer.state
    #expect(state.map(\.name) == ["0.step", "0.row_var", "0.col_var"])
    #expect(state[1].tensor.shape == [2, 3, 1] && state[2].tensor.shape == [2, 1, 4])
    #expect(state[1].tensor.values == Array(repeating: 4, count: 6))
  }

  @Test func rewrittenRowsStartAnew() throws {
    let p = try Tensor.zeros([3, 2]).requiringGrad(.codebook)
    var options = AdagradOptions()
    options.initialSum = 0.5
    let optimizer = try Adagrad(options, groups: [ParameterGroup([p], learningRate: 0.1)])
    p.grad = try Tensor.ones([3, 2])
    try optimizer.step()
    p.leaf!.announce(rows: [1])
    #expect(try optimizer.state[1].tensor.values == [1.5, 1.5, 0.5, 0.5, 1.5, 1.5])
  }

  @Test(arguments: [[4, 9], [9, 4], [5, 5], [1, 3], [3, 1]])
  func theCubicIterationGivesAnOrthogonalFactor(_ shape: [Int]) throws {
    let x = try Generator(seed: 3).normal(shape)
    // x (3 - x'x) / 2 converges to the factor itself.
    let factor = try x.nearlyOrthogonal(coefficients: (1.5, -0.5, 0), iterations: 40, epsilon: 1e-7)
    let transposed = try factor.permute([1, 0])
    let gram = try shape[0] < shape[1] ? factor.matmul(transposed) : transposed.matmul(factor)
    let k = min(shape[0], shape[1])
    let identity = (0..<k * k).map { Float($0 % (k + 1) == 0 ? 1 : 0) }
    expectClose(gram.values, identity, tolerance: 100 * 0x1p-24)
  }

  @Test func optionsOutOfRange() throws {
    let p = try Tensor([1, 2], shape: [2]).requiringGrad()
    let groups = [ParameterGroup([p], learningRate: 0.1)]
    #expect(
      errorText { _ = try Muon(groups: groups) }
        == "[muon] parameters[0] = a tensor of shape [2]: it must have two axes; others are for "
        + "another optimizer")
    #expect(
      errorText { _ = try SGD(groups: [ParameterGroup([p], learningRate: 1, betas: (0, 0))]) }
        == "[sgd] betas = [0.0, 0.0]: the optimizer has none")
    #expect(
      errorText { _ = try Lion(groups: [ParameterGroup([p], learningRate: 1, betas: (0, 1))]) }
        == "[lion] betas = [0.0, 1.0]: both must be in 0..<1")
    var options = AdafactorOptions()
    options.epsilons.0 = 0
    #expect(
      errorText { _ = try Adafactor(options, groups: groups) }
        == "[adafactor] eps = [0.0, 0.001]: the first must be at least 1e-18: it divides where "
        + "squares of gradients vanish")
  }
}
