import VQTiles

#if arch(x86_64)
  import VQTilesAVX2
  import VQTilesAVX512
#endif

/// Rows of attention in one instruction set; they are documented in `VQTiles`.
private struct AttentionKernels {
  let row:
    (UnsafeMutablePointer<Float>, UnsafePointer<Float>?, Int, UnsafeMutablePointer<Float>) -> Float
  let gradientRow:
    (UnsafeMutablePointer<Float>, UnsafePointer<Float>?, Int, Float, UnsafeMutablePointer<Float>) ->
      Void

  static let usable = AttentionKernels(.usable)
}

extension AttentionKernels: VectorKernels {
  static let portable = AttentionKernels(
    row: VQTiles.attentionRow(_:bias:count:logSum:),
    gradientRow: VQTiles.attentionGradientRow(_:bias:count:logSum:_:))

  #if arch(x86_64)
    static let avx2 = AttentionKernels(
      row: VQTilesAVX2.attentionRow(_:bias:count:logSum:),
      gradientRow: VQTilesAVX2.attentionGradientRow(_:bias:count:logSum:_:))

    static let avx512 = AttentionKernels(
      row: VQTilesAVX512.attentionRow(_:bias:count:logSum:),
      gradientRow: VQTilesAVX512.attentionGradientRow(_:bias:count:logSum:_:))
  #endif
}

/// Scores of some queries with the first keys, [rows, columns], on the calling thread.
public struct AttentionScores {
  public var rows, columns: Int
  /// Queries see no key behind their own place, of which the first one's is this.
  public var causalStart: Int?
  /// Added to the scores: `biasStride` apart for each row.
  public var bias: UnsafePointer<Float>?
  public var biasStride: Int

  public init(
    rows: Int, columns: Int, causalStart: Int?, bias: UnsafePointer<Float>?, biasStride: Int
  ) {
    (self.rows, self.columns, self.causalStart) = (rows, columns, causalStart)
    (self.bias, self.biasStride) = (bias, biasStride)
  }

  /// Keys that a row sees: the others get 0.
  private func seen(_ row: Int) -> Int { causalStart.map { min(columns, $0 + row + 1) } ?? columns }

  /// Turns scores into exponentials, and tells the logarithm of each row's sum and its inverse.
  public func exponentiate(
    _ scores: UnsafeMutablePointer<Float>, logSums: UnsafeMutablePointer<Float>,
    shares: UnsafeMutablePointer<Float>
  ) {
    let kernel = AttentionKernels.usable.row
    for row in 0..<rows {
      let (x, count) = (scores + row * columns, seen(row))
      shares[row] = kernel(x, bias.map { $0 + row * biasStride }, count, logSums + row)
      (x + count).update(repeating: 0, count: columns - count)
    }
  }

  /// Turns scores into shares, and gradients of the shares into those of the scores.
  public func differentiate(
    _ scores: UnsafeMutablePointer<Float>, logSums: UnsafePointer<Float>,
    _ gradient: UnsafeMutablePointer<Float>
  ) {
    let kernel = AttentionKernels.usable.gradientRow
    for row in 0..<rows {
      let (x, g, count) = (scores + row * columns, gradient + row * columns, seen(row))
      kernel(x, bias.map { $0 + row * biasStride }, count, logSums[row], g)
      (x + count).update(repeating: 0, count: columns - count)
      (g + count).update(repeating: 0, count: columns - count)
    }
  }
}

/// `rows[r, c] *= factors[r]`, rows `stride` apart.
public func scaleRows(
  _ rows: UnsafeMutablePointer<Float>, count: Int, columns: Int, stride: Int,
  by factors: UnsafePointer<Float>
) {
  for row in 0..<count {
    let (target, factor) = (rows + row * stride, factors[row])
    for column in 0..<columns { target[column] *= factor }
  }
}
