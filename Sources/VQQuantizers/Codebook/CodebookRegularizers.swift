import VQTensor

/// The weighted regularizers of a codebook that the options choose.
struct CodebookRegularizers {
  let options: VectorQuantOptions

  /// That of the entropy of `vectors` among the codes; nil where it is off.
  func entropy(of vectors: Tensor, in effective: Tensor) throws -> Tensor? {
    guard options.entropyWeight > 0 else { return nil }
    let entropy = try entropyRegularizer(
      vectors, effective, temperature: options.entropyTemperature)
    return try entropy.loss * options.entropyWeight
  }

  /// That of orthogonal codes; nil where it is off.
  func orthogonality(of effective: Tensor) throws -> Tensor? {
    guard options.orthogonalWeight > 0 else { return nil }
    return try orthogonalRegularizer(effective) * options.orthogonalWeight
  }

  /// The gradient in the effective codebook alone of one of them; nil where it is off.
  func gradient(
    in effective: Tensor, of regularizer: (Tensor) throws -> Tensor?
  ) throws -> Tensor? {
    let leaf = try effective.detached().requiringGrad(.codebook)
    guard let value = try regularizer(leaf) else { return nil }
    try value.backward()
    return leaf.grad
  }
}
