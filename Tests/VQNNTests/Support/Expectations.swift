import Testing

@testable import VQNN
@testable import VQTensor

/// Expects `found` within `tolerance` times the larger of 1 and the expected magnitude.
func expectClose(
  _ found: [Float], _ expected: [Float], tolerance: Float,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(found.count == expected.count, sourceLocation: sourceLocation)
  for (index, (x, y)) in zip(found, expected).enumerated()
  where !(abs(x - y) <= tolerance * max(1, abs(y))) {
    Issue.record("element \(index): \(x) against \(y)", sourceLocation: sourceLocation)
  }
}

/// `sin(i + start)` for every element, as `torch.sin(torch.arange(n) + start)` in float64.
func sines(_ shape: [Int], start: Int) throws -> Tensor {
  let count = shape.reduce(1, *)
  return try Tensor((0..<count).map { Float(sine(Double($0 + start))) }, shape: shape)
}

extension Tensor {
  /// A copy that collects a gradient.
  func asLeaf(_ role: ParameterRole = .weight) throws -> Tensor {
    try copied().requiringGrad(role)
  }
}
