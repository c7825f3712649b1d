import VQKernels
import VQTensor

/// One-hot samples of softmax(logits), logits [..., k], and gradients that pass through the draw.
extension Tensor {
  /// A one-hot sample D with ReinMax's gradient (Liu, Dong, Liu, Yu and Gao, "Bridging Discrete and
  /// Backpropagation: Straight-Through and Beyond", 2023): `2 J(p1) g - 1/2 J(p0) g`,
  /// `J(p) g = p (g - p . g)`, with `p0 = softmax(logits)` and
  /// `p1 = (D + softmax(logits / temperature)) / 2`.
  ///
  /// At temperature 1 its mean over D is the gradient of the mean for a quadratic function of D.
  ///
  /// - Throws: `VQError` for logits without a category or not finite, and a temperature below 1e-6.
  public func reinMax(temperature: Float = 1, generator: Generator) throws -> Tensor {
    let operation = "reinmax"
    try requireLogits(operation)
    try requireTemperature(operation, temperature)
    return try reinMax(codes: categories(operation, generator), temperature: temperature)
  }

  /// The same for the sample that `codes` [...] name.
  func reinMax(codes: Tensor, temperature: Float) throws -> Tensor {
    let operation = "reinmax"
    let k = shape[rank - 1]
    let saved = Saved(self)
    return try codes.oneHot(k).recorded(operation, inputs: [self]) { gradient, _ in
      let logits = try saved.tensor(operation)
      return [
        try Tensor(operation, shape: logits.shape) { out in
          logits.read { x in
            gradient.read { g in
              codes.readCodes {
                reinMaxGradient(
                  x, $0, g, temperature: temperature, out, rows: codes.count, columns: k)
              }
            }
          }
        }
      ]
    }
  }

  /// `softmax((logits + g) / temperature)`, g Gumbel numbers (Jang et al., "Categorical
  /// Reparameterization with Gumbel-Softmax", 2017; Maddison et al. 2017); hard: the one-hot row of
  /// its largest element, with its gradient.
  ///
  /// - Throws: as `reinMax`.
  public func gumbelSoftmax(
    temperature: Float = 1, isHard: Bool, generator: Generator
  ) throws -> Tensor {
    let operation = "gumbel_softmax"
    try requireLogits(operation)
    try requireTemperature(operation, temperature)
    let soft = try gumbelSoftmax(temperature: temperature, generator: generator)
    return isHard ? try soft.argmax(axis: -1).oneHot(straightThrough: soft) : soft
  }

  /// A one-hot sample with the gradient of softmax(logits) (Bengio et al., "Estimating or
  /// Propagating Gradients Through Stochastic Neurons for Conditional Computation", 2013).
  ///
  /// - Throws: `VQError` for logits without a category or not finite.
  public func straightThroughSoftmax(generator: Generator) throws -> Tensor {
    let operation = "straight_through_softmax"
    try requireLogits(operation)
    return try categories(operation, generator).oneHot(straightThrough: softmax())
  }

  /// A category of each row, drawn with the probabilities softmax(logits): int32 [...].
  private func categories(_ operation: String, _ generator: Generator) throws -> Tensor {
    let k = shape[rank - 1]
    let n = count / k
    let state = generator.words(4 * n)
    return try Tensor(operation, codeShape: Array(shape.dropLast())) { codes in
      read { sampleCategories(state, $0, codes, rows: n, columns: k) }
    }
  }

  /// One-hot rows of these codes, whose gradient goes to `shares` [..., k].
  private func oneHot(straightThrough shares: Tensor) throws -> Tensor {
    try oneHot(shares.shape[shares.rank - 1]).recorded(
      "straight_through", inputs: [shares]
    ) { gradient, _ in [gradient] }
  }

  private func requireLogits(_ operation: String) throws {
    try requireFloat(operation)
    guard let k = shape.last, k > 0 else {
      throw VQError.shape(operation, [shape], "logits [..., k] with k at least 1 are required")
    }
    try requireFinite(operation, "logits")
  }
}

private func requireTemperature(_ operation: String, _ temperature: Float) throws {
  guard temperature.isFinite, temperature >= 1e-6 else {
    throw VQError.value(
      operation, "temperature", "\(temperature)", "must be finite and at least 1e-06")
  }
}
