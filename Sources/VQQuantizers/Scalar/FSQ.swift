import VQKernels
import VQTensor

/// Finite scalar quantization (Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple",
/// 2023): each of the d elements of a vector is rounded to one of its own L levels.
///
/// With `half = (L - 1)(1 + 1e-3) / 2`, `offset` 1/2 for even L and 0 for odd:
///
/// - `bound(z) = tanh(z + artanh(offset / half)) half - offset`;
/// - `z_q = round(bound(z)) / (L / 2)`, halves to even, `L / 2` rounded down: in [-1, 1];
/// - the code is `sum_l (round(bound(z_l)) + L_l / 2) prod_(m < l) L_m`: the first element varies
///   fastest.
///
/// Gradients pass straight through the rounding, so that z gets those of `bound(z) / (L / 2)`.
/// There is nothing to learn and the loss is 0. `Quantized.z` is `bound(z) / (L / 2)`.
public final class FSQ: Quantizer {
  public let levels: [Int]
  private let constants: ScalarLevels
  private let product: Int

  override var name: String { "fsq" }
  public override var featureSize: Int { levels.count }
  public override var codeCount: Int { product }

  /// - Parameter levels: of each element, in 2...4194304; their product fits in int32.
  public init(levels: [Int]) throws {
    guard !levels.isEmpty else {
      throw VQError.value("fsq", "levels", "[]", "at least one is required")
    }
    var product = 1
    for level in levels {
      guard level >= 2, level <= ScalarLevels.limit else {
        throw VQError.value(
          "fsq", "levels", "\(levels)", "each must be in 2...\(ScalarLevels.limit)")
      }
      product *= level
      guard product <= Int(Int32.max) else {
        throw VQError.value("fsq", "levels", "\(levels)", "their product must fit in int32")
      }
    }
    self.levels = levels
    self.product = product
    constants = ScalarLevels(levels)
  }

  override func quantizeRows(
    _ rows: Tensor, _ selection: VectorSelection, stages: Int
  ) throws -> QuantizedRows {
    let result = try rounded(rows)
    return QuantizedRows(
      output: isQuantizing ? result.output : rows, codes: result.codes,
      distances: result.distances, compared: result.compared, loss: try Tensor(scalar: 0),
      codeCount: codeCount)
  }

  override func encodeRows(
    _ rows: Tensor, _ selection: VectorSelection, stages: Int
  ) throws -> Tensor { try rounded(rows).codes }

  override func decodeRows(_ codes: Tensor) throws -> Tensor {
    let n = codes.shape[0]
    return try Tensor("fsq.decode", shape: [n, featureSize]) { out in
      codes.readCodes { levelsOfCodes($0, constants, rows: n, out) }
    }
  }

  private func rounded(
    _ rows: Tensor
  ) throws -> (compared: Tensor, output: Tensor, codes: Tensor, distances: Tensor) {
    let (n, operation) = (rows.shape[0], name)
    let output = try Tensor(operation, shape: rows.shape) { _ in }
    let codes = try Tensor(operation, codeShape: [n]) { _ in }
    let distances = try Tensor(operation, shape: [n]) { _ in }
    let (constants, saved) = (constants, Saved(rows))
    let bounded = try Tensor(operation, shape: rows.shape) { compared in
      rows.read { z in
        output.mutate { output in
          codes.mutateCodes { codes in
            distances.mutate {
              quantizeLevels(
                z, constants, rows: n, compared: compared, output: output, codes: codes,
                squaredDistances: $0)
            }
          }
        }
      }
    }.recorded(operation, inputs: [rows]) { gradient, _ in
      let z = try saved.tensor(operation)
      return [
        try Tensor(operation, shape: z.shape) { out in
          z.read { z in
            gradient.read { quantizeLevelsGradient(z, $0, constants, rows: n, out) }
          }
        }
      ]
    }
    return (bounded, try straightThrough(from: bounded, to: output), codes, distances)
  }
}
