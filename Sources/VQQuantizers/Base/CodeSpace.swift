import VQNN
import VQTensor

/// The space in which vectors are compared with codes: the way there by projection and norm, and
/// back.
struct CodeSpace {
  private let name: String
  private let projectIn: Linear?
  private let projectOut: Linear?
  private let normalizer: VectorNormalizer
  private let isBatchNormalized: Bool

  /// - Parameter rowsPerVector: rows that a vector is cut into; a norm of channels keeps theirs
  ///   apart.
  init(
    _ options: VectorQuantOptions, name: String, rowsPerVector: Int, generator: Generator
  ) throws {
    self.name = name
    let (d, codeSize) = (options.featureSize, options.width)
    normalizer = try VectorNormalizer(options, width: codeSize, rowsPerVector: rowsPerVector)
    isBatchNormalized = options.norm == .batch
    let isProjected = codeSize != d
    projectIn = isProjected ? try Linear(inputs: d, outputs: codeSize, generator: generator) : nil
    projectOut = isProjected ? try Linear(inputs: codeSize, outputs: d, generator: generator) : nil
  }

  var children: [(name: String, module: Module)] {
    var result: [(name: String, module: Module)] = []
    if let projectIn, let projectOut {
      result = [("project_in", projectIn), ("project_out", projectOut)]
    }
    return result + (isBatchNormalized ? [("norm", normalizer)] : [])
  }

  /// Rows [m, d] as they are compared with codes, [m, code size]; `isUpdating` moves running
  /// moments of a batch norm.
  func compared(
    _ rows: Tensor, _ selection: VectorSelection, isUpdating: Bool
  ) throws -> Tensor {
    let codes = try projectIn?.forward(rows) ?? rows
    return try normalizer.normalized(codes, selection, isUpdating: isUpdating, name)
  }

  /// Codes' values [m, code size] as the layer gives them, [m, d].
  func projected(_ values: Tensor) throws -> Tensor { try projectOut?.forward(values) ?? values }
}
