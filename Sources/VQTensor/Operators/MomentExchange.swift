/// How a part of a batch takes part in the moments of all its parts, wherever those lie.
///
/// A training forward of a batch norm calls `moments` once, its backward `sums` once, on the thread
/// of the call; the parts must make these calls in one order.
public struct MomentExchange {
  /// Replaces a part's values by those of all parts.
  public typealias Replace = (_ values: inout [Double]) throws -> Void

  /// Of `[1 + 2 c]`: a count, which may be 0, c means and c sums of squared deviations.
  let moments: Replace
  /// Of sums, to be added up.
  let sums: Replace

  public init(moments: @escaping Replace, sums: @escaping Replace) {
    (self.moments, self.sums) = (moments, sums)
  }

  /// Mean and variance `[columns]` of `rows` vectors here to those of all; gives their number.
  func join(
    _ rows: Int, _ mean: UnsafeMutablePointer<Float>, _ variance: UnsafeMutablePointer<Float>,
    _ columns: Int
  ) throws -> Int {
    var values = [Double](repeating: 0, count: 1 + 2 * columns)
    values[0] = Double(rows)
    if rows > 0 {
      for i in 0..<columns {
        values[1 + i] = Double(mean[i])
        values[1 + columns + i] = Double(variance[i]) * Double(rows)
      }
    }
    try moments(&values)
    guard values[0] >= Double(rows), values[0] <= 0x1p40 else {
      throw VQError.value(
        "batch_norm", "count", "\(values[0])",
        "that of all parts must be at least this part's \(rows), and at most 2^40")
    }
    for i in 0..<columns {
      mean[i] = Float(values[1 + i])
      variance[i] = Float(values[1 + columns + i] / max(values[0], 1))
    }
    return Int(values[0])
  }

  /// Tensors of one shape, each added to those of the other parts.
  func added(_ tensors: [Tensor]) throws -> [Tensor] {
    var values = tensors.flatMap { $0.values.map(Double.init) }
    try sums(&values)
    var rest = values[...]
    return try tensors.map { tensor in
      defer { rest = rest.dropFirst(tensor.count) }
      return try Tensor(rest.prefix(tensor.count).map { Float($0) }, shape: tensor.shape)
    }
  }
}
