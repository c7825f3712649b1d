/// The code nearest to `x` [d] in Float64: `sum_i (x[i] - columns[i, j])^2` in index order, the lowest j on
/// equality. `columns` is [d, stride], stride a multiple of 8 and at least k.
public func nearestColumn(
  _ x: UnsafePointer<Float>, _ columns: UnsafePointer<Double>, codes k: Int, width d: Int,
  stride: Int
) -> Int32 {
  var least = Double.infinity
  var nearest = 0
  for first in Swift.stride(from: 0, to: k, by: 8) {
    var sums = SIMD8<Double>()
    for i in 0..<d {
      let column = (columns + i * stride + first).vector(SIMD8<Double>.self)
      let difference = SIMD8<Double>(repeating: Double(x[i])) - column
      sums += difference * difference
    }
    for lane in 0..<min(8, k - first) where sums[lane] < least {
      least = sums[lane]
      nearest = first + lane
    }
  }
  return Int32(nearest)
}
