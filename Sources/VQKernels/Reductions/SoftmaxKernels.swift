import VQTiles

#if arch(x86_64)
  import VQTilesAVX2
  import VQTilesAVX512
#endif

/// Rows of softmax in one instruction set; they are documented in `VQTiles`.
struct SoftmaxKernels {
  let row: (Bool, UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int) -> Void
  let gradientRow:
    (Bool, UnsafePointer<Float>, UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int) -> Void

  static let usable = SoftmaxKernels(.usable)
}

extension SoftmaxKernels: VectorKernels {
  static let portable = SoftmaxKernels(
    row: VQTiles.softmaxRow(logarithmic:_:_:count:),
    gradientRow: VQTiles.softmaxGradientRow(logarithmic:_:_:_:count:))

  #if arch(x86_64)
    static let avx2 = SoftmaxKernels(
      row: VQTilesAVX2.softmaxRow(logarithmic:_:_:count:),
      gradientRow: VQTilesAVX2.softmaxGradientRow(logarithmic:_:_:_:count:))

    static let avx512 = SoftmaxKernels(
      row: VQTilesAVX512.softmaxRow(logarithmic:_:_:count:),
      gradientRow: VQTilesAVX512.softmaxGradientRow(logarithmic:_:_:_:count:))
  #endif
}

/// Softmax, or its logarithm, of every row of `x` [rows, columns].
public func softmaxRows(
  logarithmic: Bool, _ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, rows: Int,
  columns: Int
) {
  if columns == 0 { return }
  let kernel = SoftmaxKernels.usable.row
  parallelFor(rows, grain: max(1, elementGrain / columns)) { range in
    for row in range { kernel(logarithmic, x + row * columns, out + row * columns, columns) }
  }
}

/// The gradient of `softmaxRows` from its result `y`:
/// `y (g - sum(g y))`, and `g - e^y sum(g)` for the logarithm.
public func softmaxRowsGradient(
  logarithmic: Bool, _ y: UnsafePointer<Float>, _ g: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>, rows: Int, columns: Int
) {
  if columns == 0 { return }
  let kernel = SoftmaxKernels.usable.gradientRow
  parallelFor(rows, grain: max(1, elementGrain / columns)) { range in
    for row in range {
      let start = row * columns
      kernel(logarithmic, y + start, g + start, out + start, columns)
    }
  }
}

/// `e^(scale (x[i] - largest))` divided by their sum.
func exponentialShares(
  _ x: UnsafePointer<Float>, _ largest: Float, scale: Float, _ out: UnsafeMutablePointer<Float>,
  _ count: Int
) {
  for i in 0..<count { out[i] = exponential((x[i] - largest) * scale) }
  let share = Float(1 / rowSum(out, count))
  for i in 0..<count { out[i] *= share }
}

/// `sum(e^(x[i] - shift))`.
func exponentialSum(_ x: UnsafePointer<Float>, _ count: Int, _ shift: Float) -> Double {
  withUnsafeTemporaryAllocation(of: Float.self, capacity: 512) { tile in
    let tile = tile.baseAddress!
    var total = 0.0
    for start in stride(from: 0, to: count, by: 512) {
      let length = min(512, count - start)
      for i in 0..<length { tile[i] = exponential(x[start + i] - shift) }
      total += rowSum(tile, length)
    }
    return total
  }
}
