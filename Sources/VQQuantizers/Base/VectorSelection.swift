import VQKernels
import VQTensor

/// The vectors of `z` [..., d] that a mask keeps, as the rows of a matrix.
package struct VectorSelection {
  /// The shape of z without the channel axis.
  let lead: [Int]
  /// Positions that the mask keeps, ascending, int32 [m]; nil for all.
  let kept: Tensor?
  /// Vectors kept, m.
  package let count: Int

  /// - Parameter mask: int32 of shape `lead`, 0 for a vector that is left out; nil for none.
  package init(lead: [Int], mask: Tensor?, _ operation: String) throws {
    self.lead = lead
    let total = lead.reduce(1, *)
    guard let mask else {
      kept = nil
      count = total
      return
    }
    guard mask.dtype.isInteger else {
      throw VQError.type(operation, [mask.dtype], "a mask must be int32 or bool")
    }
    guard mask.shape == lead else {
      throw VQError.shape(
        operation, [mask.shape, lead], "the mask must have z's shape without the channel axis")
    }
    let positions = mask.readCodes { nonzeroPositions($0, count: total) }
    kept = positions.count == total ? nil : try Tensor(codes: positions, shape: [positions.count])
    count = positions.count
  }

  /// The codes that are not -1 of [n], as a selection.
  init(codes: Tensor) throws {
    lead = codes.shape
    let positions = codes.readCodes { nonnegativePositions($0, count: codes.count) }
    kept =
      positions.count == codes.count
      ? nil : try Tensor(codes: positions, shape: [positions.count])
    count = positions.count
  }

  private var total: Int { lead.reduce(1, *) }

  /// The kept rows of `x` [lead..., c]: [m, c].
  package func rows(of x: Tensor) throws -> Tensor {
    let width = x.shape[x.rank - 1]
    let matrix = try x.reshape([total, width])
    return try kept.map { try matrix.gatherRows($0) } ?? matrix
  }

  /// The kept codes of [lead..., axes...]: [m, axes...].
  func codes(of x: Tensor, axes: [Int] = []) throws -> Tensor {
    guard let kept else { return try x.reshape([total] + axes) }
    let width = axes.reduce(1, *)
    return try Tensor("codes", codeShape: [count] + axes) { out in
      x.readCodes { source in
        kept.readCodes { gatherCodes(source, $0, out, count: count, width: width) }
      }
    }
  }

  /// Rows [m, rest...] at their places, 0 elsewhere: [lead..., rest...].
  func restore(_ rows: Tensor) throws -> Tensor {
    let rest = Array(rows.shape.dropFirst())
    guard let kept else { return try rows.reshape(lead + rest) }
    let width = rest.reduce(1, *)
    return try rows.reshape([count, width]).scatterAddRows(kept, rows: total).reshape(lead + rest)
  }

  /// Codes [m, rest...] at their places, -1 elsewhere: [lead..., rest...].
  func restore(codes: Tensor) throws -> Tensor {
    let rest = Array(codes.shape.dropFirst())
    guard let kept else { return try codes.reshape(lead + rest) }
    let width = rest.reduce(1, *)
    return try Tensor("codes", codeShape: lead + rest) { out in
      codes.readCodes { source in
        kept.readCodes {
          scatterCodes(source, $0, out, count: count, width: width, total: total)
        }
      }
    }
  }

  /// The place in z of the element at `index` of the kept rows of width `d`.
  func position(ofElement index: Int, width d: Int) -> Int {
    guard let kept else { return index }
    return Int(kept.codes[index / d]) * d + index % d
  }

  /// Where the rows of each sample, an entry of z's first axis, begin; m at the end.
  ///
  /// - Throws: `.shape` when z has no axis of positions between samples and channels.
  func samples(_ operation: String) throws -> [Int] {
    guard lead.count >= 2 else {
      throw VQError.shape(
        operation, [lead],
        "statistics of a sample need an axis of positions: z must be [samples, positions..., d]")
    }
    let size = lead.dropFirst().reduce(1, *)
    guard let kept else { return (0...lead[0]).map { $0 * size } }
    var starts = [Int](repeating: 0, count: lead[0] + 1)
    for position in kept.codes { starts[Int(position) / size + 1] += 1 }
    for sample in 0..<lead[0] { starts[sample + 1] += starts[sample] }
    return starts
  }
}
