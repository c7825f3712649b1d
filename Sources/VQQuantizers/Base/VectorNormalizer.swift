import VQNN
import VQTensor

/// The norm of vectors before they are compared; of a batch norm, the running statistics.
///
/// In training a batch norm takes the moments of the batch and moves the running ones by 0.1 (the
/// variance unbiased), as PyTorch's does; in evaluation it takes the running ones. It has no
/// learned affine map.
final class VectorNormalizer: Module {
  private let options: VectorQuantOptions
  private let width: Int
  private let rowsPerVector: Int
  private let runningMean: Tensor?
  private let runningVariance: Tensor?

  private static let momentum: Float = 0.1
  private static let epsilon: Float = 1e-5

  /// - Parameters:
  ///   - d: elements of a row.
  ///   - rowsPerVector: rows that follow each other and make one vector: its channels are theirs.
  init(_ options: VectorQuantOptions, width d: Int, rowsPerVector: Int = 1) throws {
    self.options = options
    self.rowsPerVector = rowsPerVector
    width = d * rowsPerVector
    let isBatch = options.norm == .batch
    runningMean = isBatch ? try .zeros([width]) : nil
    runningVariance = isBatch ? try .ones([width]) : nil
  }

  override var ownBuffers: [NamedTensor] {
    guard let runningMean, let runningVariance else { return [] }
    return [("running_mean", runningMean), ("running_var", runningVariance)]
  }

  override var ownStateRules: [(name: String, rule: OptionRule<Float>)] {
    [("running_var", .atLeastZero)]
  }

  /// The rows [m rowsPerVector, d] of the m vectors of `selection` normalized; `isUpdating` lets a
  /// training forward move running moments.
  func normalized(
    _ rows: Tensor, _ selection: VectorSelection, isUpdating: Bool, _ operation: String
  ) throws -> Tensor {
    switch options.norm {
    case .batch, .instance:
      let vectors = try rows.reshape([rows.shape[0] / rowsPerVector, width])
      let normalized =
        options.norm == .batch
        ? try batchNormalized(vectors, isUpdating: isUpdating, operation)
        : try vectors.standardizedColumns(segments: selection.samples(operation)).values
      return try normalized.reshape(rows.shape)
    default: return try rows.normalizedRows(options.norm, options)
    }
  }

  private func batchNormalized(
    _ rows: Tensor, isUpdating: Bool, _ operation: String
  ) throws -> Tensor {
    guard let runningMean, let runningVariance else { return rows }
    guard isTraining else {
      return try (rows - runningMean) / (runningVariance + Self.epsilon).sqrt()
    }
    let n = Float(rows.shape[0])
    guard n > 1 else {
      throw VQError.shape(operation, [rows.shape], "batch norm in training needs two vectors")
    }
    let result = try rows.standardizedColumns(epsilon: Self.epsilon)
    if isUpdating {
      let m = Self.momentum
      let mean = try runningMean * (1 - m) + result.mean.reshape([width]) * m
      let unbiased = try result.variance.reshape([width]) * (n / (n - 1))
      let variance = try runningVariance * (1 - m) + unbiased * m
      try variance.requireFinite(operation, "running_var")
      try runningMean.assign(mean)
      try runningVariance.assign(variance)
    }
    return result.values
  }
}

extension Tensor {
  /// Rows normalized one by one, or over all rows where the norm is one of channels.
  func normalizedRows(_ norm: VectorNorm, _ options: VectorQuantOptions) throws -> Tensor {
    switch norm {
    case .none: return self
    case .l2: return try unitRows()
    case .l2c: return try clampedRows(maximum: options.maximumNorm)
    case .group: return try standardizedGroups(options.normGroups)
    case .batch, .instance: return try standardizedColumns().values
    }
  }
}
