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

/// The codebook in Float64, codes along the rows: eight defining sums at a time.
final class TransposedCodebook {
  let columns: UnsafeMutablePointer<Double>  // [d, k padded to 8]
  let k: Int
  let d: Int
  let stride: Int

  init(_ source: UnsafePointer<Float>, codes k: Int, width d: Int) {
    self.k = k
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
    var least = Double.infinity
    var nearest = 0
    for first in Swift.stride(from: 0, to: k, by: 8) {
      var sums = SIMD8<Double>()
      for i in 0..<d {
        let column = UnsafeRawPointer(columns + i * stride + first)
        let difference =
          SIMD8<Double>(repeating: Double(x[i])) - column.loadUnaligned(as: SIMD8<Double>.self)
        sums += difference * difference
      }
      for lane in 0..<min(8, k - first) where sums[lane] < least {
        least = sums[lane]
        nearest = first + lane
      }
    }
    return Int32(nearest)
  }
}
