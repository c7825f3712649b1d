/// `sum_l (a[l] - b[l])^2` in Float64, in index order: the distance that defines the nearest code.
@inline(__always)
func squaredDistance(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, width: Int) -> Double {
  var sum = 0.0
  for i in 0..<width {
    let difference = Double(a[i]) - Double(b[i])
    sum += difference * difference
  }
  return sum
}

/// The codebook in Float64, codes along the rows, for the search by the definition.
final class TransposedCodebook {
  let columns: UnsafeMutablePointer<Double>  // [d, k padded to 8]
  let k: Int
  let d: Int
  let stride: Int
  let kernels: TileKernels

  init(_ source: UnsafePointer<Float>, codes k: Int, width d: Int, _ kernels: TileKernels) {
    self.k = k
    self.kernels = kernels
    self.d = d
    stride = (k + 7) / 8 * 8
    columns = .allocate(capacity: max(stride * d, 1))
    columns.initialize(repeating: 0, count: stride * d)
    for j in 0..<k {
      for i in 0..<d { columns[i * stride + j] = Double(source[j * d + i]) }
    }
  }

  deinit { columns.deallocate() }

  func nearest(_ x: UnsafePointer<Float>) -> Int32 {
    kernels.nearestColumn(x, columns, k, d, stride)
  }
}
