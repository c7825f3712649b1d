import VQKernels

extension Tensor {
  /// The mean of `(x - target)^2` over all elements.
  public func meanSquaredError(_ target: Tensor) throws -> Tensor {
    try meanDifference("mse_loss", squared: true, target)
  }

  /// The mean of `|x - target|` over all elements; the gradient where they are equal is 0.
  public func meanAbsoluteError(_ target: Tensor) throws -> Tensor {
    try meanDifference("l1_loss", squared: false, target)
  }

  private func meanDifference(
    _ operation: String, squared: Bool, _ target: Tensor
  ) throws -> Tensor {
    try Tensor.requireFloats(operation, self, target)
    guard shape == target.shape else {
      throw VQError.shape(operation, [shape, target.shape], "they must be equal")
    }
    guard count > 0 else { throw VQError.empty(operation, shape, "the mean needs at least one") }
    let sum = differenceSum(
      squared: squared, storage.floats, target.storage.floats, count: count)
    let (x, y) = (Saved(self), Saved(target))
    return try Tensor(scalar: Float(sum / Double(count)))
      .recorded(operation, inputs: [self, target]) { g, needs in
        let (a, b) = (try x.tensor(operation), try y.tensor(operation))
        func gradient(_ a: Tensor, _ b: Tensor) throws -> Tensor {
          let scale = Float(Double(try g.item()) / Double(a.count))
          return try Tensor(operation, shape: a.shape) { out in
            differenceGradient(
              squared: squared, a.storage.floats, b.storage.floats, out, scale: scale,
              count: a.count)
          }
        }
        return [needs[0] ? try gradient(a, b) : nil, needs[1] ? try gradient(b, a) : nil]
      }
  }

  /// The mean over rows of the cross-entropy of softmax(logits [n, k]) from int32 `labels` [n].
  ///
  /// The expected distribution is `(1 - e) onehot(label) + e / k` for a label smoothing e in 0...1.
  ///
  /// - Throws: `index` for a label outside `0..<k`, `empty` without rows.
  public func crossEntropy(_ labels: Tensor, labelSmoothing: Float = 0) throws -> Tensor {
    let operation = "cross_entropy"
    try requireFloat(operation)
    guard rank == 2, labels.shape == [shape[0]] else {
      throw VQError.shape(
        operation, [shape, labels.shape], "logits [n, k] and labels [n] are required")
    }
    guard labelSmoothing >= 0, labelSmoothing <= 1 else {
      throw VQError.value(operation, "label_smoothing", "\(labelSmoothing)", "must be in 0...1")
    }
    let (rows, columns) = (shape[0], shape[1])
    guard count > 0 else { throw VQError.empty(operation, shape, "the mean needs at least one") }
    try labels.requireCodes(operation, below: columns)
    let logSums = try Storage(.float32, count: rows)
    let sum = crossEntropySum(
      storage.floats, labels.storage.ints, logSums.floats, smoothing: labelSmoothing, rows: rows,
      columns: columns)
    let (x, codes) = (Saved(self), Saved(labels))
    return try Tensor(scalar: Float(sum / Double(rows)))
      .recorded(operation, inputs: [self]) { g, _ in
        let logits = try x.tensor(operation)
        let labels = try codes.tensor(operation)
        let scale = Float(Double(try g.item()) / Double(rows))
        return [
          try Tensor(operation, shape: logits.shape) { out in
            crossEntropyGradient(
              logits.storage.floats, labels.storage.ints, logSums.floats, out,
              smoothing: labelSmoothing, scale: scale, rows: rows, columns: columns)
          }
        ]
      }
  }
}
