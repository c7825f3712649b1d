import Testing
import VQTesting

@testable import VQTensor

@Suite struct BackwardTests {
  @Test func gradientsLeaveLeavesAlone() throws {
    let a = try Tensor([2, 3], shape: [2]).requiringGrad()
    let b = try Tensor([5, 7], shape: [2]).requiringGrad()
    let inner = try a * b
    let loss = try (inner * inner).sum()
    let found = try loss.gradients(of: [inner, a], retainGraph: true)
    #expect(found[0].values == [20, 42] && found[1].values == [100, 294])
    #expect(a.grad == nil && b.grad == nil)
    let apart = try Tensor([1], shape: [1]).requiringGrad()
    #expect(try loss.gradients(of: [apart, b])[0].values == [0])
    #expect(throws: VQError.self) { try loss.gradients(of: [a]) }
  }

  @Test func onlyTheWayToAnInputIsGone() throws {
    let (a, b) = (try Tensor.ones([1]).requiringGrad(), try Tensor.ones([1]).requiringGrad())
    var asked: [Bool] = []
    let product = try (a * b).detached().recorded("asks", inputs: [a, b]) { g, needs in
      asked = needs
      return [g, g]
    }
    _ = try product.gradients(of: [b])
    #expect(asked == [false, true])
  }

  @Test func partsAddTheirGradientsWhereTheyStand() throws {
    let x = try Tensor([1, 2, 3, 4, 5, 6], shape: [2, 3]).requiringGrad()
    let y = try x * 2
    let parts = try [
      y.slice(axis: 1, from: 0, to: 2), y.slice(axis: 1, from: 1, to: 3),
      y.slice(axis: 1, from: 0, to: 3, step: 2),
    ]
    let loss = try parts[0].sum() + parts[1].sum() * 10 + parts[2].sum() * 100
    try (loss + x.slice(axis: 0, from: 1, to: 2).sum()).backward()
    #expect(x.grad!.values == [202, 22, 220, 203, 23, 221])
  }

  /// The gradient of a sum is one tensor for both of its terms.
  @Test(arguments: [true, false])
  func partsLeaveSharedGradientsAlone(isPartFirst: Bool) throws {
    let x = try Tensor([1, 2], shape: [2]).requiringGrad()
    let (y, z) = (try x * 2, try x * 3)
    let sum = try ((y + z) * Tensor([5, 7], shape: [2])).sum()
    let part = try y.slice(axis: 0, from: 1, to: 2).sum()
    try (isPartFirst ? part + sum : sum + part).backward()
    #expect(x.grad!.values == [25, 37])
  }

  @Test func refusesInputsWithoutGradient() throws {
    let a = try Tensor([2], shape: [1]).requiringGrad()
    expectError(
      "[gradients] inputs[1] = a tensor of shape [1]: it must require a gradient"
    ) { try (a * 2).gradients(of: [a, Tensor.ones([1])]) }
    expectError("[gradients] shape [2]: a gradient must be given unless there is one element") {
      try (a * Tensor.ones([2])).gradients(of: [a])
    }
  }

  @Test func frozenLeavesRecordNothing() throws {
    let a = try Tensor([2], shape: [1]).requiringGrad()
    try (a * 3).backward()
    try a.setRequiresGrad(false)
    let cut = try a * 3
    #expect(a.grad == nil && !a.requiresGrad && !cut.requiresGrad)
    try a.setRequiresGrad(true)
    try (a * 3).backward()
    #expect(a.grad!.values == [3])
    expectError(
      "[requires_grad] only a tensor made with requires_grad can be frozen, and released again"
    ) {
      try Tensor.ones([1]).setRequiresGrad(false)
    }
  }

  @Test func threadsShareALeaf() async throws {
    nonisolated(unsafe) let leaf = try Tensor.zeros([100]).requiringGrad()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<4 {
        group.addTask { for _ in 0..<100 { try (leaf * 1).sum().backward() } }
      }
      try await group.waitForAll()
    }
    #expect(leaf.grad!.values == [Float](repeating: 400, count: 100))
  }

  @Test func checkpointsComputeAgain() throws {
    let (x, w) = (try Tensor([1, 2], shape: [2]), try Tensor([3, 4], shape: [2]).requiringGrad())
    let (input, generator) = (try x.requiringGrad(), Generator(seed: 1))
    var masks: [[Float]] = []
    let y = try Tensor.checkpoint([input]) { given in
      let kept = try Tensor.ones([2]).dropout(0.5, generator: generator)
      masks.append(kept.values)
      return try given[0] * w * kept
    }
    let counter = generator.counter
    _ = generator.nextUniform()
    try y.backward(Tensor.ones([2]))
    #expect(masks.count == 2 && masks[0] == masks[1] && generator.counter == counter + 1)
    #expect(input.grad!.values == zip(w.values, masks[0]).map { $0 * $1 })
    #expect(w.grad!.values == zip(x.values, masks[0]).map { $0 * $1 })
  }
}
