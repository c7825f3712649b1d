import VQTensor

/// From vectors to codes: the nearest or, in training at a temperature above 0, drawn ones.
struct Lookup {
  private let name: String
  private let options: VectorQuantOptions
  private let generator: StoredGenerator
  /// tau of drawn codes, a scalar; nil when codes are nearest.
  let temperature: Tensor?

  init(_ options: VectorQuantOptions, name: String, generator: StoredGenerator) throws {
    (self.name, self.options, self.generator) = (name, options, generator)
    temperature = options.temperature > 0 ? try Tensor(scalar: options.temperature) : nil
  }

  /// Codes of `vectors` [n, d] in the effective codebook [k, d], int32 [n].
  func codes(of vectors: Tensor, in effective: Tensor, isTraining: Bool) throws -> Tensor {
    guard isTraining, let tau = try temperature?.item(), tau > 0 else {
      return try nearest(vectors, in: effective)
    }
    return try generator.drawInForward {
      try sampleCodes(
        vectors.detached(), effective.detached(), temperature: tau, generator: $0)
    }
  }

  func nearest(_ vectors: Tensor, in effective: Tensor) throws -> Tensor {
    try assign(vectors, effective, operation: name, names: ("z", "codebook"))
  }

  /// Anneals the temperature after a training forward.
  func anneal() {
    temperature?.mutate {
      $0[0] = max(options.temperatureMinimum, $0[0] * options.temperatureDecay)
    }
  }
}
