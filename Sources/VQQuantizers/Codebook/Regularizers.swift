import VQKernels
import VQTensor

/// How far the directions of the codes are from orthogonal: the mean over all pairs, a scalar,
/// `1/k^2 sum_ij (E^_i . E^_j - [i = j])^2` with E^ the rows of unit length of `codebook` [k, d].
///
/// A zero row counts as it is, and has no gradient. Sums are Float64; no k x k matrix is formed for
/// k > d.
func orthogonalRegularizer(_ codebook: Tensor) throws -> Tensor {
  let operation = "orthogonal_regularizer"
  try codebook.requireFloat(operation)
  guard codebook.rank == 2 else {
    throw VQError.shape(operation, [codebook.shape], "a codebook [k, d] is required")
  }
  guard codebook.count > 0 else {
    throw VQError.empty(
      operation, codebook.shape, "at least one code of at least one element is required")
  }
  let unit = try codebook.unitRows()
  let (k, d) = (codebook.shape[0], codebook.shape[1])
  let side = min(k, d)
  try prepareProducts(beside: 8 * (2 * k * d + side * side))
  let orthogonality = unit.read { Orthogonality($0, rows: k, width: d) }
  return try Tensor(scalar: Float(orthogonality.value)).recorded(operation, inputs: [unit]) {
    gradient, _ in
    let scale = Double(try gradient.item())
    try prepareProducts(beside: 8 * k * d)
    return [try Tensor(operation, shape: [k, d]) { orthogonality.gradient(scale: scale, $0) }]
  }
}

/// The entropy regularizer of soft assignments `p_i = softmax_j(-|z_i - E_j|^2 / temperature)`:
/// `loss = mean_i H(p_i) - diversity H(mean_i p_i)`, in nats. It falls when each vector is sure of
/// its code and the codes are used alike.
///
/// Logits are float32 products about the codebook's mean, so a probability is within
/// `2^-24 (d + 8) r^2 2 / temperature` of its value, relatively, for vectors and codes within r of
/// the mean. Rows go by chunks: no n x k matrix is held.
///
/// - Parameters:
///   - z: [n, d], n at least 1.
///   - codebook: E [k, d].
///   - temperature: above 0.
/// - Returns: the loss, a scalar with gradients to both, and the two entropies.
func entropyRegularizer(
  _ z: Tensor, _ codebook: Tensor, temperature: Float, diversity: Float = 1
) throws -> (loss: Tensor, meanEntropy: Float, entropyOfMean: Float) {
  let operation = "entropy_regularizer"
  try requireMatrices(operation, z, codebook)
  guard z.shape[0] > 0 else {
    throw VQError.empty(operation, z.shape, "at least one vector is required")
  }
  try requireTemperature(operation, temperature)
  guard diversity.isFinite else {
    throw VQError.value(operation, "diversity", "\(diversity)", "must be finite")
  }
  try requireModerate(operation, "z", z)
  try requireModerate(operation, "codebook", codebook)
  let (n, d, k) = (z.shape[0], z.shape[1], codebook.shape[0])
  let bytes = AssignmentEntropy.mostBytes(rows: n, codes: k, width: d, threads: threadCount)
  try prepareProducts(beside: bytes)
  let assignment = z.read { points in
    codebook.read {
      AssignmentEntropy(
        points, count: n, $0, codes: k, width: d, temperature: Double(temperature))
    }
  }
  let value = assignment.meanEntropy - Double(diversity) * assignment.entropyOfMean
  let (savedZ, savedCodebook) = (Saved(z), Saved(codebook))
  let loss = try Tensor(scalar: Float(value)).recorded(operation, inputs: [z, codebook]) {
    gradient, needs in
    let (z, factor) = (try savedZ.tensor(operation), Double(try gradient.item()))
    _ = try savedCodebook.tensor(operation)
    try prepareProducts(beside: bytes)
    let inZ = needs[0] ? try Tensor(operation, shape: [n, d]) { _ in } : nil
    let inCodebook = needs[1] ? try Tensor(operation, shape: [k, d]) { _ in } : nil
    z.read { points in
      withTarget(inZ) { inZ in
        withTarget(inCodebook) { inCodebook in
          assignment.gradients(
            points, diversity: diversity, factor: factor, z: inZ, codebook: inCodebook)
        }
      }
    }
    return [inZ, inCodebook]
  }
  return (loss, Float(assignment.meanEntropy), Float(assignment.entropyOfMean))
}

/// Throws unless `temperature` is above 0 and finite.
func requireTemperature(_ operation: String, _ temperature: Float) throws {
  guard temperature > 0, temperature.isFinite else {
    throw VQError.value(operation, "temperature", "\(temperature)", "must be finite and above 0")
  }
}

/// Throws unless every element is finite and of a size whose square fits float32 products.
func requireModerate(_ operation: String, _ name: String, _ x: Tensor) throws {
  try x.requireFinite(operation, name)
  let largest = x.read { largestMagnitude($0, count: x.count) }
  guard largest < 1e16 else {
    throw VQError.value(
      operation, name, "\(largest)", "elements must be below 1e16, or float32 distances overflow")
  }
}

private func withTarget(_ tensor: Tensor?, _ body: (UnsafeMutablePointer<Float>?) -> Void) {
  if let tensor { tensor.mutate { body($0) } } else { body(nil) }
}
