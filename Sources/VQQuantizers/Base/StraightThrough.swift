import VQKernels
import VQTensor

/// What quantizing vectors with known codes gives.
struct StraightThrough {
  /// `codebook[codes]` bit for bit, [n, d].
  let output: Tensor
  /// `(1 - beta) mse(z, sg z_q) + beta mse(sg z, z_q)`, a scalar whose value is the mean squared
  /// error.
  let loss: Tensor
  let meanSquaredError: Double
  /// `|z - z_q|^2` of each vector, [n].
  let squaredDistances: Tensor

  /// Gradients, N = n d:
  ///
  /// - of the output g: `dz = g`, `d synchronized = nu * scatter_add(g)`;
  /// - of the loss: `dz = (1 - beta) 2 (z - z_q) / N`,
  ///   `d compared = beta 2 scatter_add(z_q - z) / N`.
  ///
  /// - Parameters:
  ///   - z: [n, d], n at least 1.
  ///   - codes: int32 [n], in range.
  ///   - synchronized, compared: the codebook [k, d] that takes the gradient of the output, and the
  ///     one that takes the loss's; their values are equal.
  ///   - passesThrough: whether `z` gets the output's gradient.
  init(
    _ z: Tensor, codes: Tensor, synchronized: Tensor, compared: Tensor, nu: Float, beta: Float,
    passesThrough: Bool = true
  ) throws {
    let operation = "straight_through"
    try requireMatrices(operation, z, compared)
    let (n, d, k) = (z.shape[0], z.shape[1], compared.shape[0])
    guard codes.dtype == .int32, codes.shape == [n], synchronized.shape == compared.shape else {
      throw VQError.shape(
        operation, [z.shape, codes.shape, synchronized.shape, compared.shape],
        "z [n, d], codes [n] and codebooks [k, d] are required")
    }
    guard n > 0 else { throw VQError.empty(operation, z.shape, "at least one vector is required") }
    if let code = codes.readCodes({ firstCodeOutOfRange($0, count: n, bound: k) }) {
      throw VQError.index(operation, value: Int(code), bound: k)
    }

    var total = 0.0
    let distances = try Tensor(operation, shape: [n]) { _ in }
    let values = try Tensor(operation, shape: [n, d]) { out in
      z.read { z in
        compared.read { rows in
          codes.readCodes { codes in
            distances.mutate { distances in
              total = gatherNearest(
                z, rows, codes, count: n, width: d, out, squaredDistances: distances)
            }
          }
        }
      }
    }
    meanSquaredError = total / Double(n * d)
    squaredDistances = distances
    let index = CodeIndex(codes, codeCount: k)

    let isSynchronized = nu > 0 && synchronized.requiresGrad
    let inputs = (passesThrough ? [z] : []) + (isSynchronized ? [synchronized] : [])
    output = values.recorded(operation, inputs: inputs) { gradient, needs in
      let through = passesThrough ? [needs[0] ? gradient : nil] : []
      guard isSynchronized else { return through }
      let scattered = try Tensor(operation, shape: [k, d]) { out in
        gradient.read { sumByCode($0, index.groups, width: d, scale: Double(nu), out) }
      }
      return through + [scattered]
    }

    let (savedZ, savedCodebook) = (Saved(z), Saved(compared))
    loss = try Tensor(scalar: Float(meanSquaredError)).recorded(
      "commitment_loss", inputs: [z, compared]
    ) { gradient, needs in
      let (z, codebook) = (
        try savedZ.tensor("commitment_loss"), try savedCodebook.tensor("commitment_loss")
      )
      let scale = 2 * Double(try gradient.item()) / Double(n * d)
      return [
        needs[0] && beta < 1
          ? try encoderGradient(z, codebook, codes, scale: Float(scale * Double(1 - beta))) : nil,
        needs[1] && beta > 0
          ? try codebookGradient(z, codebook, index, scale: scale * Double(beta)) : nil,
      ]
    }
  }
}

/// `scale * (z - codebook[codes])`, [n, d].
private func encoderGradient(
  _ z: Tensor, _ codebook: Tensor, _ codes: Tensor, scale: Float
) throws -> Tensor {
  try Tensor("commitment_loss", shape: z.shape) { out in
    z.read { points in
      codebook.read { rows in
        codes.readCodes { codes in
          differenceToCodes(
            points, rows, codes, count: z.shape[0], width: z.shape[1], scale: scale, out)
        }
      }
    }
  }
}

/// `scale * scatter_add(codebook[codes] - z)`, [k, d].
func codebookGradient(
  _ z: Tensor, _ codebook: Tensor, _ index: CodeIndex, scale: Double
) throws -> Tensor {
  try Tensor("commitment_loss", shape: codebook.shape) { out in
    z.read { points in
      codebook.read { rows in
        differenceByCode(points, rows, index.groups, width: z.shape[1], scale: scale, out)
      }
    }
  }
}

/// Codes and, sorted at first need, the rows of each.
final class CodeIndex {
  let codes: Tensor
  let codeCount: Int
  private(set) lazy var groups = codes.readCodes {
    CodeGroups($0, rows: codes.count, codeCount: codeCount)
  }

  init(_ codes: Tensor, codeCount: Int) {
    self.codes = codes
    self.codeCount = codeCount
  }
}
