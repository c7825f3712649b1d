import VQKernels

extension Tensor {
  /// `softmax(scale q k^T + mask) v` for every head, without the matrix of all scores: blocks of
  /// queries take their turn, and the pullback computes their scores again.
  ///
  /// - Parameters:
  ///   - key: [..., m, heads * d] where this tensor, the queries, is [..., n, heads * d].
  ///   - value: [..., m, heads * e]; the result is [..., n, heads * e].
  ///   - mask: float32, added to the scores, or bool, true where a query sees a key; broadcast to
  ///     [..., heads, n, m]. It gets no gradient. A query that sees no key gets zeros.
  ///   - isCausal: whether query i sees the keys 0...i alone.
  ///   - scale: 1 / sqrt(d) where it is nil.
  /// - Throws: `VQError` for shapes that do not fit, or a mask that requires a gradient.
  public func attention(
    key: Tensor, value: Tensor, mask: Tensor? = nil, heads: Int = 1, isCausal: Bool = false,
    scale: Float? = nil
  ) throws -> Tensor {
    let shapes = [shape, key.shape, value.shape]
    try Tensor.requireFloats("attention", self, key)
    try value.requireFloat("attention")
    guard rank >= 2, key.rank == rank, value.rank == rank else {
      throw VQError.shape(
        "attention", shapes, "query, key and value must be [..., length, features] of equal rank")
    }
    let leading = shape.dropLast(2)
    guard key.shape.dropLast(2) == leading, value.shape.dropLast(2) == leading else {
      throw VQError.shape("attention", shapes, "the axes before the last two must be equal")
    }
    guard key.shape[rank - 1] == shape[rank - 1] else {
      throw VQError.shape("attention", shapes, "query and key must have as many features")
    }
    guard value.shape[rank - 2] == key.shape[rank - 2] else {
      throw VQError.shape("attention", shapes, "key and value must have the same length")
    }
    let rows = try [self, key, value].map { try $0.headRows(heads, features: $0.shape[rank - 1]) }
    return try attention(rows, [self, key, value], mask, isCausal, scale)
  }

  /// The attention among the positions of this tensor, [..., n, 3 * heads * d]: queries, keys and
  /// values side by side. The result is [..., n, heads * d].
  public func selfAttention(
    mask: Tensor? = nil, heads: Int = 1, isCausal: Bool = false, scale: Float? = nil
  ) throws -> Tensor {
    try requireFloat("attention")
    guard rank >= 2, shape[rank - 1] % 3 == 0 else {
      throw VQError.shape(
        "attention", [shape], "queries, keys and values side by side, [..., n, 3 d], are required")
    }
    let features = shape[rank - 1] / 3
    let rows = try (0..<3).map { place in
      var rows = try headRows(heads, features: features)
      (rows.offset, rows.stride) = (place * features, 3 * features)
      return rows
    }
    return try attention(rows, [self], mask, isCausal, scale)
  }

  private func headRows(_ heads: Int, features: Int) throws -> HeadRows {
    guard heads >= 1, features > 0, features % heads == 0 else {
      throw VQError.value(
        "attention", "heads", "\(heads)",
        "must be at least 1 and divide the features, \(features), of which there is one at least")
    }
    return HeadRows(length: shape[rank - 2], width: features / heads, heads: heads)
  }

  /// `inputs` are query, key and value, or one tensor that holds all three.
  private func attention(
    _ rows: [HeadRows], _ inputs: [Tensor], _ mask: Tensor?, _ isCausal: Bool, _ scale: Float?
  ) throws -> Tensor {
    let leading = Array(shape.dropLast(2))
    let scores = leading + [rows[0].heads, rows[0].length, rows[1].length]
    let bias = try mask?.scoreBias(scores)
    let plan = AttentionPlan(
      units: leading.reduce(1, *) * rows[0].heads, query: rows[0], key: rows[1], value: rows[2],
      isCausal: isCausal, scale: scale ?? (1 / Float(rows[0].width).squareRoot()),
      maskShape: scores.dropLast(),
      maskStrides: bias.map { Shape.broadcastStrides($0.shape, to: scores).dropLast() } ?? [])
    guard plan.scale.isFinite else {
      throw VQError.value("attention", "scale", "\(plan.scale)", "must be finite")
    }
    try prepareProducts()
    let logSums = try Storage(.float32, count: plan.units * plan.query.length)
    let target = leading + [plan.query.length, plan.result.stride]
    let isEmpty = plan.key.length == 0 || target.contains(0)
    let result =
      isEmpty
      ? try Tensor.zeros(target)
      : try Tensor("attention", shape: target) {
        try plan.attend(
          inputs[0], inputs.count == 1 ? inputs[0] : inputs[1], inputs.last!, bias, logSums, $0)
      }
    let saved = inputs.map { Saved($0) }
    return result.recorded("attention", inputs: inputs) { g, _ in
      let inputs = try saved.map { try $0.tensor("attention") }
      if isEmpty { return try inputs.map { try Tensor.zeros($0.shape) } }
      try prepareProducts()
      let gradients = try inputs.map { try Storage(.float32, count: $0.count) }
      let at = [0, 1, 2].map { inputs.count == 1 ? 0 : $0 }
      try interruptible("attention") {
        try plan.differentiate(
          inputs[at[0]], inputs[at[1]], inputs[at[2]], bias, logSums, g, gradients[at[0]].floats,
          gradients[at[1]].floats, gradients[at[2]].floats)
      }
      return zip(inputs, gradients).map { Tensor(shape: $0.shape, storage: $1) }
    }
  }

  /// A mask as numbers to add to scores of that shape, all keys of a row side by side.
  private func scoreBias(_ scores: [Int]) throws -> Tensor {
    guard !requiresGrad else {
      throw VQError.misuse(
        "attention", "the mask gets no gradient: add a learned one to scores of a product")
    }
    guard dtype != .int32 else {
      throw VQError.type("attention", [dtype], "the mask must be float32 or bool")
    }
    guard (try? Shape.broadcast(shape, scores, "attention")) == scores else {
      throw VQError.shape(
        "attention", [shape, scores], "the mask must broadcast to [..., heads, n, m]")
    }
    var bias = detached()
    if dtype == .bool {
      bias = try Tensor.choose(bias, Tensor(scalar: 0), Tensor(scalar: -.infinity))
    }
    return try bias.broadcast(to: shape.dropLast() + [scores.last!])
  }
}
