@testable import VQQuantizers

/// Values in multiples of 2^-10, so that steps of a power of two are exact.
func gridSample(_ shape: [Int], seed: UInt64, mean: Float = 0, scale: Float = 1) throws -> Tensor {
  let draw = try sample(shape, seed: seed, mean: mean, scale: scale)
  return try Tensor(draw.values.map { ($0 * 1024).rounded() / 1024 }, shape: shape)
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
