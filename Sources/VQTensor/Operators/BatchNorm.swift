import VQKernels

extension Tensor {
  /// Batch normalization over every axis but the last: y = (x - mean) / sqrt(variance + epsilon) *
  /// scale + shift, for `[..., c]`.
  ///
  /// In training the moments are the batch's, and the running statistics take a step towards them,
  /// the variance in its unbiased form; otherwise the running statistics normalize.
  /// - Parameters:
  ///   - scale, shift, runningMean, runningVariance: `[c]`; the last two are written in training.
  ///   - momentum: weight of this batch in the running statistics, 0 to 1.
  ///   - epsilon: added to the variance, not negative.
  ///   - fusedReLU: applies max(0, y) in the same pass.
  ///   - exchange: joins the moments of this part of a batch, in training, to those of its others.
  /// - Throws: `VQError` for shapes that do not fit, and in training for fewer than two values a
  ///   channel, of all parts together.
  public func batchNorm(
    scale: Tensor, shift: Tensor, runningMean: Tensor, runningVariance: Tensor, training: Bool,
    momentum: Float = 0.1, epsilon: Float = 1e-5, fusedReLU: Bool = false,
    exchange: MomentExchange? = nil
  ) throws -> Tensor {
    let operation = "batch_norm"
    let parameters = [scale, shift, runningMean, runningVariance]
    let exchange = training ? exchange : nil
    try checkBatchNorm(operation, parameters, momentum, epsilon)
    if training, exchange == nil { try requireValues(operation, count: count) }
    let columns = shape[rank - 1]
    let rows = columns == 0 ? 0 : count / columns

    var population = rows  // of all parts
    let moments = try Tensor(operation, shape: [2, columns]) { out in
      let (mean, variance) = (out, out + columns)
      if training {
        if rows > 0 {
          columnMoments(
            storage.floats, rows: rows, columns: columns, mean: mean, variance: variance)
        }
        if let exchange {
          population = try exchange.join(rows, mean, variance, columns)
          try requireValues(operation, count: Swift.min(population, 2) * columns)
        }
        let correction = Float(Double(population) / Double(population - 1))
        runningMean.mutate { moveTowards(mean, 1, momentum, $0, count: columns) }
        runningVariance.mutate { moveTowards(variance, correction, momentum, $0, count: columns) }
      } else {
        mean.update(from: runningMean.storage.floats, count: columns)
        variance.update(from: runningVariance.storage.floats, count: columns)
      }
      invertDeviations(variance, epsilon: epsilon, count: columns)
    }
    func statistics(_ scale: Tensor, _ shift: Tensor) -> ChannelStatistics {
      ChannelStatistics(
        mean: moments.storage.floats, inverseDeviation: moments.storage.floats + columns,
        scale: scale.storage.floats, shift: shift.storage.floats)
    }
    let y = try Tensor(operation, shape: shape) { out in
      normalizeColumns(
        storage.floats, rows: rows, columns: columns, statistics(scale, shift), relu: fusedReLU, out
      )
    }
    let share = training ? 1 / Float(population) : 0
    let (x, a, b) = (Saved(self), Saved(scale), Saved(shift))
    return y.recorded(operation, inputs: [self, scale, shift]) { gradient, needs in
      let (x, a, b) = (
        try x.tensor(operation), try a.tensor(operation), try b.tensor(operation)
      )
      let channel = statistics(a, b)
      let g = gradient.storage.floats
      let scaleGradient = try Tensor.zeros([columns])
      let shiftGradient = try Tensor.zeros([columns])
      if rows > 0, training || needs[1] || needs[2] {
        normalizationParameterGradients(
          g, x.storage.floats, rows: rows, columns: columns, channel, relu: fusedReLU,
          scale: scaleGradient.storage.floats, shift: shiftGradient.storage.floats)
      }
      let gradients = [needs[1] ? scaleGradient : nil, needs[2] ? shiftGradient : nil]
      guard needs[0] else { return [nil] + gradients }
      // The input's gradient takes the sums over all parts; parameters keep their own part's.
      let sums =
        try exchange?.added([scaleGradient, shiftGradient]) ?? [scaleGradient, shiftGradient]
      let input = try Tensor(operation, shape: x.shape) { out in
        normalizationInputGradient(
          g, x.storage.floats, rows: rows, columns: columns, channel, relu: fusedReLU,
          share: share, scaleGradient: sums[0].storage.floats,
          shiftGradient: sums[1].storage.floats, out)
      }
      return [input] + gradients
    }
  }

  private func checkBatchNorm(
    _ operation: String, _ parameters: [Tensor], _ momentum: Float, _ epsilon: Float
  ) throws {
    let all = [self] + parameters
    guard all.allSatisfy({ $0.dtype == .float32 }) else {
      throw VQError.type(operation, all.map(\.dtype), "float32 is required")
    }
    guard rank >= 2 else {
      throw VQError.shape(operation, [shape], "the input must be [n, ..., c], of rank 2 or more")
    }
    let columns = shape[rank - 1]
    for (name, tensor) in zip(
      ["scale", "shift", "running mean", "running variance"], parameters)
    where tensor.shape != [columns] {
      throw VQError.shape(
        operation, [shape, tensor.shape], "the \(name) must have the shape [\(columns)]")
    }
    guard momentum >= 0, momentum <= 1 else {
      throw VQError.value(operation, "momentum", "\(momentum)", "must be between 0 and 1")
    }
    guard epsilon >= 0, epsilon < .infinity else {
      throw VQError.value(operation, "epsilon", "\(epsilon)", "must be finite and at least 0")
    }
  }

  /// `count` values of all channels together must be more than one of each.
  private func requireValues(_ operation: String, count: Int) throws {
    if count == 0 {
      throw VQError.empty(operation, shape, "training needs values to take moments of")
    }
    if count == shape[rank - 1] {
      throw VQError.shape(operation, [shape], "training needs more than one value per channel")
    }
  }
}
