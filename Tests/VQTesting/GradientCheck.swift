import Testing
import VQTensor

/// Random multiples of 2^-10, so that steps of a power of two are exact.
public func randomTensor(_ shape: [Int], seed: UInt64 = 1, from: Float = -2, to: Float = 2) throws
  -> Tensor
{
  let draw = try Generator(seed: seed).uniform(shape, from: from, to: to)
  return try Tensor(draw.values.map { ($0 * 1024).rounded() / 1024 }, shape: shape)
}

/// Compares the gradients of `sum(c * f(inputs))`, c random, with fourth-order central differences.
///
/// With results of relative error `4 * 2^-24` the quotient is off by at most
/// `1.5 * 4 * 2^-24 / step * sum(|c f|)`, and by `step^4 / 30` times the fifth derivative; the
/// functions checked have fifth derivatives below 30 times the sum, or a step of their own.
public func checkGradient(
  of function: ([Tensor]) throws -> Tensor, at inputs: [Tensor], step: Float = 0x1p-5,
  sourceLocation: SourceLocation = #_sourceLocation
) throws {
  let leaves = try inputs.map { try $0.requiringGrad() }
  let output = try function(leaves)
  let cotangent = try randomTensor(output.shape, seed: 77)
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
  for (position, leaf) in leaves.enumerated() {
    let gradient = try #require(leaf.grad, sourceLocation: sourceLocation)
    #expect(gradient.shape == inputs[position].shape, sourceLocation: sourceLocation)
    for (index, value) in gradient.values.enumerated() {
      let near = try projection(position, index, step) - projection(position, index, -step)
      let far = try projection(position, index, 2 * step) - projection(position, index, -2 * step)
      let expected = (8 * near - far) / (12 * Double(step))
      let fourth = Double(step * step * step * step)
      let tolerance =
        magnitude * (6 * 0x1p-24 / Double(step) + fourth) + 1e-5 * abs(expected) + 1e-7
      if !(abs(Double(value) - expected) <= tolerance) {
        Issue.record(
          "input \(position), element \(index): \(value) against \(expected)",
          sourceLocation: sourceLocation)
      }
    }
  }
}
