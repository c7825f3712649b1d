import VQTiles

#if arch(x86_64)
  import VQTilesAVX2
  import VQTilesAVX512
#endif

/// Rows of layer normalization in one instruction set; they are documented in `VQTiles`.
struct LayerNormKernels {
  typealias Input = UnsafePointer<Float>
  typealias Output = UnsafeMutablePointer<Float>

  let row: (Input, Int, Double, Bool, Input, Input, Output, Output) -> Void
  let gradientRow: (Input, Input, Int, Bool, Input, Input, Output?, Output?) -> Void
  let pullGroupRows: (Input, Input, Int, Int, Input, Input, Input, Input, Output) -> Void

  static let usable = LayerNormKernels(.usable)
}

extension LayerNormKernels: VectorKernels {
  static let portable = LayerNormKernels(
    row: VQTiles.layerNormRow(_:count:epsilon:centers:_:_:_:_:),
    gradientRow: VQTiles.layerNormGradientRow(_:_:count:centers:_:_:_:_:),
    pullGroupRows: VQTiles.pullGroupRows(_:_:rows:columns:mean:factor:level:slope:_:))

  #if arch(x86_64)
    static let avx2 = LayerNormKernels(
      row: VQTilesAVX2.layerNormRow(_:count:epsilon:centers:_:_:_:_:),
      gradientRow: VQTilesAVX2.layerNormGradientRow(_:_:count:centers:_:_:_:_:),
      pullGroupRows: VQTilesAVX2.pullGroupRows(_:_:rows:columns:mean:factor:level:slope:_:))

    static let avx512 = LayerNormKernels(
      row: VQTilesAVX512.layerNormRow(_:count:epsilon:centers:_:_:_:_:),
      gradientRow: VQTilesAVX512.layerNormGradientRow(_:_:count:centers:_:_:_:_:),
      pullGroupRows: VQTilesAVX512.pullGroupRows(_:_:rows:columns:mean:factor:level:slope:_:))
  #endif
}

/// Rows whose parameter gradients are added in float32 before they go to Float64.
private let depth = 32

/// Rows that one thread takes at a time; fixed, so that the order of summation is.
private func chunkRows(_ columns: Int) -> Int { max(depth, elementGrain / max(columns, 1)) }

/// Normalizes each row of `x` [rows, columns]: y = (x - mean) r weight + bias, the mean 0 unless
/// `centers`; `moments` [rows, 2] gets mean and r.
public func layerNormRows(
  _ x: UnsafePointer<Float>, rows: Int, columns: Int, epsilon: Float, centers: Bool,
  weight: UnsafePointer<Float>, bias: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>,
  moments: UnsafeMutablePointer<Float>
) {
  if columns == 0 { return }
  let kernel = LayerNormKernels.usable.row
  parallelFor(rows, grain: chunkRows(columns)) { range in
    for row in range {
      let start = row * columns
      kernel(
        x + start, columns, Double(epsilon), centers, weight, bias, out + start, moments + 2 * row)
    }
  }
}

/// The gradients of `layerNormRows`: of the input where `out` is given, of weight and bias where
/// `parameters` [2, columns] is.
public func layerNormRowsGradient(
  _ gradient: UnsafePointer<Float>, _ x: UnsafePointer<Float>, rows: Int, columns: Int,
  centers: Bool, weight: UnsafePointer<Float>, moments: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>?, parameters: UnsafeMutablePointer<Float>?
) {
  if columns == 0 { return }
  let kernel = LayerNormKernels.usable.gradientRow
  let grain = chunkRows(columns)
  let chunks = parameters == nil ? 0 : (rows + grain - 1) / grain
  // [chunks, 2, columns]
  withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * columns * chunks + 1) { partials in
    let partial = partials.baseAddress!
    parallelFor(rows, grain: grain) { range in
      guard chunks > 0 else {
        for row in range {
          let start = row * columns
          kernel(
            gradient + start, x + start, columns, centers, weight, moments + 2 * row,
            out.map { $0 + start }, nil)
        }
        return
      }
      let total = partial + range.lowerBound / grain * 2 * columns
      total.update(repeating: 0, count: 2 * columns)
      withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * columns) { sums in
        let sums = sums.baseAddress!
        for first in stride(from: range.lowerBound, to: range.upperBound, by: depth) {
          sums.update(repeating: 0, count: 2 * columns)
          for row in first..<min(first + depth, range.upperBound) {
            let start = row * columns
            kernel(
              gradient + start, x + start, columns, centers, weight, moments + 2 * row,
              out.map { $0 + start }, sums)
          }
          for i in 0..<2 * columns { total[i] += Double(sums[i]) }
        }
      }
    }
    guard let parameters else { return }
    for i in 0..<2 * columns {
      var total = 0.0
      for chunk in 0..<chunks { total += partial[chunk * 2 * columns + i] }
      parameters[i] = Float(total)
    }
  }
}
