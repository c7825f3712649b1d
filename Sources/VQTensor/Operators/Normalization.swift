import VQKernels

extension Tensor {
  /// Normalizes over the last axes, those of `shape`: y = (x - mean) / sqrt(variance + epsilon) *
  /// weight + bias, the variance biased.
  ///
  /// - Parameters:
  ///   - weight, bias: of `shape`; nil for 1 and 0.
  ///   - epsilon: added to the variance, not negative.
  /// - Throws: `VQError` for shapes that do not fit, and for axes without elements.
  public func layerNorm(
    over shape: [Int], weight: Tensor? = nil, bias: Tensor? = nil, epsilon: Float = 1e-5
  ) throws -> Tensor {
    try normalizedRows("layer_norm", shape, weight, bias, epsilon, centers: true)
  }

  /// Normalizes over the last axes, those of `shape`, without centering (Zhang and Sennrich 2019):
  /// y = x / sqrt(mean(x^2) + epsilon) * weight.
  public func rmsNorm(
    over shape: [Int], weight: Tensor? = nil, epsilon: Float = 1e-5
  ) throws -> Tensor {
    try normalizedRows("rms_norm", shape, weight, nil, epsilon, centers: false)
  }

  private func normalizedRows(
    _ operation: String, _ axes: [Int], _ weight: Tensor?, _ bias: Tensor?, _ epsilon: Float,
    centers: Bool
  ) throws -> Tensor {
    try checkNorm(operation, [("weight", weight), ("bias", bias)], axes, epsilon)
    guard shape.suffix(axes.count) == axes[...], !axes.isEmpty else {
      throw VQError.shape(
        operation, [shape, axes], "the input must end with the axes that are normalized over")
    }
    let columns = try Shape.count(axes, operation)
    guard columns > 0 else {
      throw VQError.empty(operation, shape, "the axes that are normalized over must have elements")
    }
    let rows = count / columns
    let scale = try weight ?? Tensor.ones(axes)
    let shift = try bias ?? Tensor.zeros(axes)
    let moments = try Tensor.uninitialized(.float32, [rows, 2])
    let y = try Tensor(operation, shape: shape) { out in
      layerNormRows(
        storage.floats, rows: rows, columns: columns, epsilon: epsilon, centers: centers,
        weight: scale.storage.floats, bias: shift.storage.floats, out,
        moments: moments.storage.floats)
    }
    let (x, a) = (Saved(self), Saved(scale))
    return y.recorded(operation, inputs: [self, scale, shift]) { gradient, needs in
      let (x, a) = (try x.tensor(operation), try a.tensor(operation))
      let input = needs[0] ? try Tensor.uninitialized(.float32, x.shape) : nil
      let isTrained = needs[1] || needs[2]
      let parameters = isTrained ? try Tensor.uninitialized(.float32, [2] + axes) : nil
      layerNormRowsGradient(
        gradient.storage.floats, x.storage.floats, rows: rows, columns: columns, centers: centers,
        weight: a.storage.floats, moments: moments.storage.floats, input?.storage.floats,
        parameters: parameters?.storage.floats)
      func part(_ index: Int) throws -> Tensor? {
        guard needs[1 + index], let parameters else { return nil }
        return try parameters.slice(axis: 0, from: index, to: index + 1).reshape(axes)
      }
      return [input, try part(0), try part(1)]
    }
  }

  /// Normalizes each of `groups` groups of neighboring channels of a sample over its positions (Wu
  /// and He 2018): [n, ..., c]; y as in `layerNorm`.
  ///
  /// - Parameters:
  ///   - weight, bias: [c]; nil for 1 and 0.
  public func groupNorm(
    groups: Int, weight: Tensor? = nil, bias: Tensor? = nil, epsilon: Float = 1e-5
  ) throws -> Tensor {
    let operation = "group_norm"
    guard rank >= 2 else {
      throw VQError.shape(operation, [shape], "the input must be [n, ..., c], of rank 2 or more")
    }
    let channels = shape[rank - 1]
    try checkNorm(operation, [("weight", weight), ("bias", bias)], [channels], epsilon)
    guard groups >= 1, channels % groups == 0 else {
      throw VQError.value(
        operation, "groups", "\(groups)", "must be at least 1 and divide the \(channels) channels")
    }
    let positions = shape[1..<(rank - 1)].reduce(1, *)
    let sizes = GroupNormSizes(
      samples: shape[0], positions: positions, channels: channels, groups: groups)
    guard positions * channels > 0 else {
      throw VQError.empty(operation, shape, "a sample must have elements")
    }
    let scale = try weight ?? Tensor.ones([channels])
    let shift = try bias ?? Tensor.zeros([channels])
    let moments = try Tensor.uninitialized(.float32, [sizes.samples, 2, channels])
    let y = try Tensor(operation, shape: shape) { out in
      groupNormalize(
        storage.floats, sizes, epsilon: epsilon, scale: scale.storage.floats,
        shift: shift.storage.floats, out, moments: moments.storage.floats)
    }
    let (x, a) = (Saved(self), Saved(scale))
    return y.recorded(operation, inputs: [self, scale, shift]) { gradient, needs in
      let (x, a) = (try x.tensor(operation), try a.tensor(operation))
      let input = needs[0] ? try Tensor.uninitialized(.float32, x.shape) : nil
      let parameters = try Tensor.uninitialized(.float32, [2, channels])
      groupNormalizationGradient(
        gradient.storage.floats, x.storage.floats, sizes, scale: a.storage.floats,
        moments: moments.storage.floats, input?.storage.floats,
        parameters: parameters.storage.floats)
      func part(_ index: Int) throws -> Tensor? {
        guard needs[1 + index] else { return nil }
        return try parameters.slice(axis: 0, from: index, to: index + 1).reshape([channels])
      }
      return [input, try part(0), try part(1)]
    }
  }

  private func checkNorm(
    _ operation: String, _ parameters: [(name: String, tensor: Tensor?)], _ axes: [Int],
    _ epsilon: Float
  ) throws {
    try requireFloat(operation)
    for case (let name, let tensor?) in parameters {
      guard tensor.dtype == .float32 else {
        throw VQError.type(operation, [tensor.dtype], "\(name) must be float32")
      }
      guard tensor.shape == axes else {
        throw VQError.shape(
          operation, [shape, tensor.shape], "the \(name) must have the shape \(axes)")
      }
    }
    guard epsilon >= 0, epsilon < .infinity else {
      throw VQError.value(operation, "epsilon", "\(epsilon)", "must be finite and at least 0")
    }
  }
}
