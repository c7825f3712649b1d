import Testing
@testable import VQTensor

@Suite struct Arithmetic {
  @Test func productRule() throws {
    let a = try Tensor([1, 2, 3, 4], shape: [2, 2]).requiringGrad()
    let b = try Tensor([5, 6], shape: [2]).requiringGrad()
    try (a * b + a).backward(Tensor.ones([2, 2]))
    #expect(a.grad!.values == [6, 7, 6, 7])
    #expect(b.grad!.values == [4, 6])
  }
  @Test func deepChainIsReleased() throws {
    var x = try Tensor([1], shape: [1]).requiringGrad()
    let leaf = x
    for _ in 0..<200_000 { x = try x + leaf }
    try x.backward()
    #expect(leaf.grad!.values == [200_001])
  }
}
