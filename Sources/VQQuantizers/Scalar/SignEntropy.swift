import VQTensor

/// `mean_i H(p_i) - diversity H(mean_i p_i)` in nats, a scalar, for `z` [n, b] and `p_i` the
/// softmax over all 2^b sign vectors c of `2 z_i . c / temperature`.
///
/// The bits of p_i are independent: `H(p_i)` is the sum of the bits' entropies, and with the
/// vectors cut into two halves the mean is the product `P^T Q / n` of the halves' softmaxes, n x
/// 2^(b/2) each.
func signEntropy(_ z: Tensor, temperature: Float, diversity: Float) throws -> Tensor {
  let (n, bits) = (z.shape[0], z.shape[1])
  let logits = try z * (2 / temperature)
  let pairs = try logits.reshape([n * bits, 1]).matmul(Tensor([-1, 1], shape: [1, 2]))
  let entropy = try pairs.expectedLogProbability().values.sum() * (-1 / Float(n))
  guard diversity > 0 else { return entropy }

  let middle = (bits + 1) / 2
  let high = try signProbabilities(logits.slice(axis: 1, from: 0, to: middle))
  let low = try signProbabilities(logits.slice(axis: 1, from: middle, to: bits))
  let mean = try high.transposed().matmul(low) * (1 / Float(n))  // [2^middle, 2^(bits - middle)]
  // The bound keeps the gradient of codes without probability finite.
  let negative = try (mean * mean.clamp(minimum: .leastNormalMagnitude).log()).sum()
  return try entropy + negative * diversity
}

/// The softmax over the 2^b sign vectors c of `logits . c`: [n, b] to [n, 2^b], the first bit the
/// highest.
private func signProbabilities(_ logits: Tensor) throws -> Tensor {
  let bits = logits.shape[1]
  guard bits > 0 else { return try .ones([logits.shape[0], 1]) }
  let codes = 1 << bits
  let signs = (0..<bits).flatMap { bit in
    (0..<codes).map { Float($0 >> (bits - 1 - bit) & 1 == 1 ? 1 : -1) }
  }
  return try logits.matmul(Tensor(signs, shape: [bits, codes])).softmax()
}
