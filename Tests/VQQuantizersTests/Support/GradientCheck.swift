import Testing
import VQTesting

@testable import VQQuantizers

/// Compares the gradients of `sum(c * f(inputs))`, c random, with fourth-order central differences.
///
/// Results of relative error `4 * 2^-24` leave `6 * 2^-24 / step` of the sum of magnitudes; the method
/// itself `step^4 / 30` times the fifth derivative, which is taken as at most 30 times that sum.
func checkGradient(
  at inputs: [Tensor], step: Float = 0x1p-5, sourceLocation: SourceLocation = #_sourceLocation,
  of function: ([Tensor]) throws -> Tensor
) throws {
  let leaves = try inputs.map { try $0.requiringGrad() }
  let output = try function(leaves)
  let cotangent = try sample(output.shape, seed: 77)
  try output.backward(cotangent)

  var magnitude = 0.0
  func projection(_ position: Int, _ index: Int, _ change: Float) throws -> Double {
    var changed = inputs
    var values = inputs[position].values
    values[index] += change
    changed[position] = try Tensor(values, shape: inputs[position].shape)
    let terms = zip(try function(changed).values, cotangent.values).map { Double($0) * Double($1) }
    magnitude = max(magnitude, terms.reduce(0) { $0 + abs($1) })
    return terms.reduce(0, +)
  }
  let power = Double(step * step * step * step)
  for (position, leaf) in leaves.enumerated() {
    let gradient = try #require(leaf.grad, sourceLocation: sourceLocation)
    #expect(gradient.shape == inputs[position].shape, sourceLocation: sourceLocation)
    for (index, value) in gradient.values.enumerated() {
      let near = try projection(position, index, step) - projection(position, index, -step)
      let far = try projection(position, index, 2 * step) - projection(position, index, -2 * step)
      let expected = (8 * near - far) / (12 * Double(step))
      let tolerance =
        magnitude * (6 * 0x1p-24 / Double(step) + power) + 1e-5 * abs(expected) + 1e-7
      #expect(
        abs(Double(value) - expected) <= tolerance,
        "input \(position), element \(index): \(value) against \(expected)",
        sourceLocation: sourceLocation)
    }
  }
}

/// Values in multiples of 2^-10, so that steps of a power of two are exact.
func gridSample(_ shape: [Int], seed: UInt64, mean: Float = 0, scale: Float = 1) throws -> Tensor {
  let draw = try sample(shape, seed: seed, mean: mean, scale: scale)
  return try Tensor(draw.values.map { ($0 * 1024).rounded() / 1024 }, shape: shape)
}

/// Expects the same bits from one thread and from four.
func expectThreadIndependent(
  sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> [Tensor]
) throws {
  func bits(_ tensor: Tensor) -> [UInt32] {
    tensor.dtype == .float32
      ? tensor.values.map(\.bitPattern) : tensor.codes.map(UInt32.init(bitPattern:))
  }
  let one = try withThreads(1, body).map(bits)
  let four = try withThreads(4, body).map(bits)
  #expect(one == four, sourceLocation: sourceLocation)
}

/// The output and the gradients of the inputs for the gradient `cotangent` of the output.
func pullback(
  _ inputs: [Tensor], _ cotangent: Tensor, _ function: ([Tensor]) throws -> Tensor
) throws -> [Tensor] {
  let leaves = try inputs.map { try $0.requiringGrad() }
  let output = try function(leaves)
  try output.backward(cotangent)
  return [output] + leaves.compactMap(\.grad)
}
