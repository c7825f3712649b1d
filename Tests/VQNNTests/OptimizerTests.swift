import Testing
import VQTesting

@testable import VQNN
@testable import VQTensor

@Suite struct OptimizerTests {
  /// Five steps from [1, -2, 0.5, 3] with gradients [0.1 t, -0.2, 0.3 / t, 1 - t], t = 1...5.
  private func trajectory(_ make: ([Tensor]) throws -> Optimizer) throws -> [Float] {
    let p = try Tensor([1, -2, 0.5, 3], shape: [4]).requiringGrad()
    let optimizer = try make([p])
    for t in 1...5 {
      p.grad = try gradient(Float(t))
      try optimizer.step()
    }
    return p.values
  }

  private func gradient(_ t: Float) throws -> Tensor {
    try Tensor([0.1 * t, -0.2, 0.3 / t, 1 - t], shape: [4])
  }

  // The expected values are PyTorch 2.15's with foreach=False; each of the five steps rounds some
  // ten times.
  private let tolerance: Float = 50 * 0x1p-24

  @Test func plainDescentEqualsPyTorch() throws {
    // SGD([p], lr=0.1, weight_decay=0.01)
    let found = try trajectory { try SGD($0, learningRate: 0.1, weightDecay: 0.01) }
    expectClose(
      found, [0.845209837, -1.89021993, 0.429197282, 3.98403049], tolerance: tolerance)
  }

  @Test func momentumEqualsPyTorch() throws {
    // SGD([p], lr=0.1, momentum=0.9, weight_decay=0.01)
    let found = try trajectory { try SGD($0, learningRate: 0.1, momentum: 0.9, weightDecay: 0.01) }
    expectClose(
      found, [0.670361936, -1.71151137, 0.272350997, 4.81459856], tolerance: tolerance)
  }

  @Test func nesterovEqualsPyTorch() throws {
    // SGD([p], lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)
    let found = try trajectory {
      try SGD($0, learningRate: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.01)
    }
    expectClose(
      found, [0.549112856, -1.63125169, 0.224969536, 5.61484671], tolerance: tolerance)
  }

  @Test func adamEqualsPyTorch() throws {
    // Adam([p], lr=0.01, betas=(0.9, 0.95), weight_decay=0.1)
    let found = try trajectory {
      try Adam($0, learningRate: 0.01, betas: (0.9, 0.95), weightDecay: 0.1)
    }
    expectClose(
      found, [0.950929165, -1.95000577, 0.453525752, 3.01742387], tolerance: tolerance)
  }

  @Test func adamWithSmallBetaEqualsPyTorch() throws {
    // Adam([p], lr=0.01, betas=(0.4, 0.95))
    let found = try trajectory { try Adam($0, learningRate: 0.01, betas: (0.4, 0.95)) }
    expectClose(
      found, [0.942499161, -1.95000005, 0.464721948, 3.04770756], tolerance: tolerance)
  }

  @Test func adamWEqualsPyTorch() throws {
    // AdamW([p], lr=0.01, betas=(0.9, 0.95), weight_decay=0.1)
    let found = try trajectory {
      try AdamW($0, learningRate: 0.01, betas: (0.9, 0.95), weightDecay: 0.1)
    }
    expectClose(
      found, [0.947257161, -1.9401201, 0.452856511, 3.01766992], tolerance: tolerance)
  }

  @Test(arguments: [
    (ParameterRole.weight, true, true), (.bias, true, true), (.bias, false, false),
    (.norm, true, true), (.norm, false, false), (.codebook, true, false),
  ])
  func decayFollowsTheRole(_ role: ParameterRole, byOption: Bool, decays: Bool) throws {
    let p = try Tensor([2], shape: [1]).requiringGrad(role)
    p.grad = try Tensor.zeros([1])
    let optimizer = try AdamW(
      [p], learningRate: 0.5, weightDecay: 0.5, decayBiasesAndNorms: byOption)
    try optimizer.step()
    #expect(p.values == [decays ? 1.5 : 2])
  }

  @Test func groupsHaveTheirOwnRates() throws {
    let a = try Tensor([1], shape: [1]).requiringGrad()
    let b = try Tensor([1], shape: [1]).requiringGrad()
    let optimizer = try SGD(groups: [
      ParameterGroup([a], learningRate: 0.5), ParameterGroup([b], learningRate: 0.25),
    ])
    (a.grad, b.grad) = (try Tensor.ones([1]), try Tensor.ones([1]))
    try optimizer.step()
    #expect(a.values == [0.5] && b.values == [0.75])
    optimizer.learningRate = 0.25
    try optimizer.step()
    #expect(a.values == [0.25] && b.values == [0.5])
    try optimizer.setGroup(1, learningRate: 0.5, weightDecay: 0)
    try optimizer.step()
    #expect(a.values == [0] && b.values == [0])
  }

  @Test func parameterWithoutGradientIsSkipped() throws {
    let a = try Tensor([1], shape: [1]).requiringGrad()
    let b = try Tensor([1], shape: [1]).requiringGrad()
    let optimizer = try AdamW([a, b], weightDecay: 0.5)
    a.grad = try Tensor.ones([1])
    try optimizer.step()
    #expect(b.values == [1])
    #expect(try optimizer.state.map(\.name) == ["0.step", "0.exp_avg", "0.exp_avg_sq"])
    #expect(a.grad!.values == [1])
    optimizer.zeroGrad()
    #expect(a.grad == nil)
  }

  @Test(arguments: ["momentum", "adam", "adamw"])
  func resumedRunEqualsTheUnbroken(_ kind: String) throws {
    func make(_ p: Tensor) throws -> Optimizer {
      switch kind {
      case "momentum": return try SGD([p], learningRate: 0.1, momentum: 0.9, nesterov: true)
      case "adam": return try Adam([p], learningRate: 0.1, weightDecay: 0.1)
      default: return try AdamW([p], learningRate: 0.1)
      }
    }
    let p = try Tensor([1, -2, 0.5, 3], shape: [4]).requiringGrad()
    let optimizer = try make(p)
    for t in 1...3 {
      p.grad = try gradient(Float(t))
      try optimizer.step()
    }
    let q = try p.asLeaf()
    let resumed = try make(q)
    try resumed.load(state: optimizer.state)
    for t in 4...6 {
      (p.grad, q.grad) = (try gradient(Float(t)), try gradient(Float(t)))
      try optimizer.step()
      try resumed.step()
    }
    #expect(p.values == q.values)
  }

  @Test func rewrittenCodebookRowsForgetTheirMoments() throws {
    let p = try Tensor.zeros([3, 2]).requiringGrad(.codebook)
    let optimizer = try Adam([p], betas: (0.5, 0.5))
    p.grad = try Tensor.ones([3, 2])
    try optimizer.step()
    p.leaf!.announce(rows: [1])
    let state = try optimizer.state
    #expect(state[1].tensor.values == [0.5, 0.5, 0, 0, 0.5, 0.5])
    #expect(state[2].tensor.values == [0.5, 0.5, 0, 0, 0.5, 0.5])
  }

  @Test func observerDoesNotKeepTheOptimizer() throws {
    let p = try Tensor.zeros([1, 1]).requiringGrad(.codebook)
    weak var optimizer: Optimizer?
    do {
      let strong = try SGD([p])
      optimizer = strong
    }
    #expect(optimizer == nil)
    p.leaf!.announce(rows: [0])
  }

  @Test func stepsAreTheSameForEveryThreadCount() throws {
    let values = try Generator(seed: 1).normal([40_007])
    let gradient = try Generator(seed: 2).normal([40_007])
    func run(_ threads: Int) throws -> [Float] {
      try withThreads(threads) {
        let p = try values.asLeaf()
        let optimizer = try AdamW([p])
        p.grad = gradient
        for _ in 0..<3 { try optimizer.step() }
        return p.values
      }
    }
    #expect(try run(1) == run(2))
  }

  @Test func everyElementEqualsTheScalarFormula() throws {
    // 19 elements: two vectors of eight and a rest of three.
    let p = try Generator(seed: 3).normal([19]).asLeaf()
    let before = p.values
    let gradient = try Generator(seed: 4).normal([19])
    p.grad = gradient
    try AdamW([p], learningRate: 0.1, weightDecay: 0.5).step()
    // One step: the corrected moments are g and g^2.
    let expected = zip(before, gradient.values).map { value, g -> Float in
      let (value, g) = (Double(value), Double(g))
      let change: Double = 0.1 * g / (abs(g) + 1e-8)
      return Float(value * 0.95 - change)
    }
    expectClose(p.values, expected, tolerance: 10 * 0x1p-24)
  }

  @Test func emptyParameterIsAllowed() throws {
    let p = try Tensor.zeros([0, 3]).requiringGrad()
    p.grad = try Tensor.zeros([0, 3])
    let optimizer = try AdamW([p])
    try optimizer.step()
    p.leaf!.announce(rows: [0])
    #expect(p.shape == [0, 3])
  }
}

@Suite struct OptimizerErrorTests {
  private func leaf() throws -> Tensor { try Tensor([1, 2], shape: [2]).requiringGrad() }

  @Test func parameterTwice() throws {
    let p = try leaf()
    #expect(
      errorText { _ = try SGD([p, p]) }
        == "[sgd] parameters[1] = a tensor of shape [2]: a parameter may be given only once")
  }

  @Test func parameterTwiceOverGroups() throws {
    let p = try leaf()
    let groups = [ParameterGroup([p], learningRate: 1), ParameterGroup([p], learningRate: 2)]
    #expect(
      errorText { _ = try Adam(groups: groups) }
        == "[adam] parameters[1] = a tensor of shape [2]: a parameter may be given only once")
  }

  @Test func noParameters() {
    #expect(
      errorText { _ = try AdamW([]) }
        == "[adamw] parameters = []: at least one parameter is required")
  }

  @Test func notALeaf() throws {
    let x = try Tensor([1, 2], shape: [2])
    #expect(
      errorText { _ = try AdamW([x]) }
        == "[adamw] parameters[0] = a tensor of shape [2]: only leaves that require a gradient can be optimized"
    )
  }

  @Test(arguments: [Double.nan, .infinity, -0.1])
  func learningRateOutOfRange(_ rate: Double) throws {
    let p = try leaf()
    let text = "[adamw] learning_rate = \(rate): must be finite and at least 0"
    #expect(errorText { _ = try AdamW([p], learningRate: rate) } == text)
    let optimizer = try AdamW([try leaf()])
    optimizer.learningRate = rate
    #expect(errorText { try optimizer.step() } == text)
    #expect(errorText { try optimizer.setGroup(0, learningRate: rate, weightDecay: 0) } == text)
  }

  @Test func otherOptionsOutOfRange() throws {
    let p = try leaf()
    #expect(
      errorText { _ = try Adam([p], betas: (1, 0.9)) }
        == "[adam] betas = [1.0, 0.9]: both must be in 0..<1")
    #expect(
      errorText { _ = try Adam([p], betas: (0.9, .nan)) }
        == "[adam] betas = [0.9, nan]: both must be in 0..<1")
    #expect(
      errorText { _ = try Adam([p], epsilon: -1) }
        == "[adam] eps = -1.0: must be finite and at least 1e-20: it divides where squares of gradients "
        + "vanish")
    #expect(
      errorText { _ = try SGD([p], momentum: .infinity) }
        == "[sgd] momentum = inf: must be finite and at least 0")
    #expect(
      errorText { _ = try SGD([p], nesterov: true) }
        == "[sgd] momentum = 0.0: nesterov needs a momentum above 0")
    #expect(
      errorText { _ = try SGD([p], weightDecay: -1) }
        == "[sgd] weight_decay = -1.0: must be finite and at least 0")
    #expect(
      errorText { try SGD([p]).setGroup(2, learningRate: 1, weightDecay: 0) }
        == "[sgd] index 2 is outside 0..<1")
  }

  @Test func gradientOfAnotherShapeChangesNothing() throws {
    let (p, q) = (try leaf(), try leaf())
    let optimizer = try SGD([p, q], learningRate: 1)
    (p.grad, q.grad) = (try Tensor.ones([2]), try Tensor.ones([3]))
    #expect(
      errorText { try optimizer.step() }
        == "[sgd] shapes [3] and [2]: a gradient must have its parameter's shape")
    #expect(p.values == [1, 2])
  }

  @Test func stateThatDoesNotFit() throws {
    let p = try leaf()
    let optimizer = try Adam([p])
    let step = try Tensor(codes: [1], shape: [])
    let moment = try Tensor.ones([2])
    #expect(
      errorText { try optimizer.load(state: [("0.step", step), ("0.exp_avg", moment)]) }
        == "[load_state_dict] missing = 0.exp_avg_sq: every moment must be given")
    #expect(
      errorText {
        try optimizer.load(state: [
          ("0.step", step), ("0.exp_avg", moment), ("0.exp_avg_sq", Tensor.ones([3])),
        ])
      } == "[load_state_dict] shapes [3] and [2]: 0.exp_avg_sq must keep its shape")
    #expect(
      errorText { try optimizer.load(state: [("1.step", step)]) }
        == "[load_state_dict] unexpected = 1.step: every name must be that of a moment or step")
    #expect(
      errorText { try optimizer.load(state: [("0.step", moment)]) }
        == "[load_state_dict] 0.step = float32 of shape [2]: must be one int32 of at least 1")
    #expect(try optimizer.state.isEmpty)
  }
}
