import VQKernels
import VQTensor

/// The way back from the effective codebook to the raw one.
extension Codebook {
  /// Writes raw codes whose effective image is `values` [m, d], but for norms of single codes and,
  /// where all codes are written, the norm of channels; makes optimizers and statistics forget
  /// those rows.
  ///
  /// - Parameter weights: of the rows in an EMA codebook, 1 each unless given.
  func write(_ values: Tensor, rows: [Int], weights: [Float]? = nil) throws {
    let isOverCodes = options.codebookNorm == .batch || options.codebookNorm == .instance
    var image = isOverCodes && rows.count < count ? try beforeNorm(values) : values
    if let transform = map.transform {
      // With a singular W no raw code has that image: the codes stay.
      guard let solved = try solveRows(image, transform) else { return }
      image = solved
    }
    let affine = try map.affine()
    image.read { image in
      raw.mutate { raw in
        affine.read { factor, offset in
          writeRawRows(
            image, rows: rows, width: options.width, factor: factor, offset: offset,
            groupSize: count / options.affineGroups, raw)
        }
      }
    }
    forgetGradient(of: rows)
    statistics?.restart(
      rows, weights: weights ?? [Float](repeating: 1, count: rows.count), from: raw)
    raw.leaf?.announce(rows: rows)
  }

  /// Rows of the mapped codebook whose standardization over the present codes is `values`.
  private func beforeNorm(_ values: Tensor) throws -> Tensor {
    try withoutGradients {
      let moments = try map.applied(to: raw, isTrained: false).standardizedColumns()
      return try values * (moments.variance + 1e-5).sqrt() + moments.mean
    }
  }

  /// Zeroes what backward left on rows that are written anew.
  func forgetGradient(of rows: [Int]) {
    guard let gradient = raw.grad, let copy = try? gradient.copied() else { return }
    copy.mutate { clearRows($0, rows, columns: options.width) }
    raw.grad = copy
  }
}
