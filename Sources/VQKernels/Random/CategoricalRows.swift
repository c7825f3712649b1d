import Glibc
import VQTiles

#if arch(x86_64)
  import VQTilesAVX2
  import VQTilesAVX512
#endif

/// Rows of expectations in one instruction set; they are documented in `VQTiles`.
struct CategoricalKernels {
  let moments: (UnsafePointer<Float>, Int, Float) -> (sum: Double, weighted: Double)
  let gradientRow:
    (UnsafePointer<Float>, Float, Float, Float, UnsafeMutablePointer<Float>, Int) -> Void

  static let usable = CategoricalKernels(.usable)
}

extension CategoricalKernels: VectorKernels {
  static let portable = CategoricalKernels(
    moments: VQTiles.exponentialMoments(_:_:_:),
    gradientRow: VQTiles.expectedGradientRow(_:_:_:_:_:count:))

  #if arch(x86_64)
    static let avx2 = CategoricalKernels(
      moments: VQTilesAVX2.exponentialMoments(_:_:_:),
      gradientRow: VQTilesAVX2.expectedGradientRow(_:_:_:_:_:count:))

    static let avx512 = CategoricalKernels(
      moments: VQTilesAVX512.exponentialMoments(_:_:_:),
      gradientRow: VQTilesAVX512.expectedGradientRow(_:_:_:_:_:count:))
  #endif
}

/// For every row of logits `x` [rows, columns] and p = softmax(x): `expected = sum_j p_j log p_j`
/// and `logSums = log(sum_j e^x_j)`.
public func expectedLogProbabilityRows(
  _ x: UnsafePointer<Float>, expected: UnsafeMutablePointer<Float>,
  logSums: UnsafeMutablePointer<Float>, rows: Int, columns: Int
) {
  let moments = CategoricalKernels.usable.moments
  parallelFor(rows, grain: max(1, elementGrain / max(columns, 1))) { range in
    for row in range {
      let source = x + row * columns
      let largest = rowMaximum(source, columns)
      let (sum, weighted) = moments(source, columns, largest)
      let shift = Glibc.log(sum)
      expected[row] = Float(weighted / sum - shift)
      logSums[row] = Float(Double(largest) + shift)
    }
  }
}

/// The gradient of `expected` in the logits: `g p_j (log p_j - expected)`.
public func expectedLogProbabilityRowsGradient(
  _ x: UnsafePointer<Float>, expected: UnsafePointer<Float>, logSums: UnsafePointer<Float>,
  _ g: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, rows: Int, columns: Int
) {
  let gradientRow = CategoricalKernels.usable.gradientRow
  parallelFor(rows, grain: max(1, elementGrain / max(columns, 1))) { range in
    for row in range {
      gradientRow(
        x + row * columns, expected[row], logSums[row], g[row], out + row * columns, columns)
    }
  }
}

/// `-log p` of the code of each row, `logSums[i] - x[i, codes[i]]`.
public func surprisalOfCodes(
  _ x: UnsafePointer<Float>, logSums: UnsafePointer<Float>, _ codes: UnsafePointer<Int32>,
  _ out: UnsafeMutablePointer<Float>, rows: Int, columns: Int
) {
  for row in 0..<rows { out[row] = logSums[row] - x[row * columns + Int(codes[row])] }
}
