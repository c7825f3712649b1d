import Testing

@testable import VQTensor

@Suite struct TapeTests {
  @Test func deepChainIsReleased() throws {
    var x = try Tensor([1], shape: [1]).requiringGrad()
    let leaf = x
    for _ in 0..<200_000 { x = try x + leaf }
    try x.backward()
    #expect(leaf.grad!.values == [200_001])
  }

  @Test func everyLinkIsReleasedInTurn() throws {
    let leaf = try Tensor([1], shape: [1]).requiringGrad()
    var x: Tensor? = leaf
    for _ in 0..<1_000_000 { x = try 2 - x! }
    #expect(x!.values == [1])
    x = nil
  }

  @Test func aPullbackThatHoldsItsInputIsReleasedInTurn() throws {
    let leaf = try Tensor([1], shape: [1]).requiringGrad()
    var x: Tensor? = leaf
    for _ in 0..<200_000 {
      let input = x!
      x = input.detached().recorded("held", inputs: [input]) { g, _ in
        [try g + input.detached() * 0]
      }
    }
    x = nil
  }

  @Test func scalarsStandOnEitherSide() throws {
    let x = try Tensor([2, 4], shape: [2]).requiringGrad()
    #expect(try (5 * x).values == [10, 20] && (x * 5).values == [10, 20])
    #expect(try (5 + x).values == [7, 9] && (5 - x).values == [3, 1])
    let quotient = try 8 / x
    #expect(quotient.values == [4, 2])
    try quotient.backward(Tensor.ones([2]))
    #expect(x.grad!.values == [-2, -0.5])
  }

  @Test func accumulationLeavesOtherGradientsAlone() throws {
    let a = try Tensor([1, 2], shape: [2]).requiringGrad()
    let b = try Tensor([3, 4], shape: [2]).requiringGrad()
    let seed = try Tensor([1, 10], shape: [2])
    // `a + b` hands one gradient to both; a's grows further.
    try (a + b + a * b + a).backward(seed)
    #expect(a.grad!.values == [5, 60])
    #expect(b.grad!.values == [2, 30])
    #expect(seed.values == [1, 10])
  }

  @Test func aGradientThatIsHeldKeepsItsValues() throws {
    let a = try Tensor([1], shape: [1]).requiringGrad()
    try (a * 2).backward()
    let held = a.grad!
    try (a * 3).backward()
    #expect(held.values == [2])
    #expect(a.grad!.values == [5])
  }

  @Test func repeatedBackwardNeedsTheGraph() throws {
    let a = try Tensor([2], shape: [1]).requiringGrad()
    let y = try a * a
    try y.backward(retainGraph: true)
    try y.backward()
    #expect(a.grad!.values == [8])
    expectError(
      "[backward] the tape of multiply was freed by an earlier backward; pass retain_graph"
    ) { try y.backward() }
  }

  @Test func aSavedTensorThatChangedIsRefused() throws {
    let a = try Tensor([2], shape: [1]).requiringGrad()
    let y = try a.square()
    a.mutate { $0[0] = 3 }
    expectError(
      "[backward] a tensor that square saved, shape [1], was changed in place since the forward"
    ) { try y.backward() }
  }

  @Test func nothingIsRecordedWithoutGradients() throws {
    let a = try Tensor([2], shape: [1]).requiringGrad()
    let y = try withoutGradients { try a * a }
    #expect(!y.requiresGrad)
    expectError("[backward] the tensor does not depend on any that requires a gradient") {
      try y.backward()
    }
  }

  @Test func seedsMustFit() throws {
    let y = try Tensor([2, 3], shape: [2]).requiringGrad() * 2
    expectError("[backward] shape [2]: a gradient must be given unless there is one element") {
      try y.backward()
    }
    expectError("[backward] shapes [3] and [2]: the gradient must have the tensor's shape") {
      try y.backward(Tensor.ones([3]))
    }
  }
}
