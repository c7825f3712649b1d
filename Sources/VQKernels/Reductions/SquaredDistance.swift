/// `sum_l (a[l] - b[l])^2` in Float64, in index order: the distance that defines the nearest code.
@inline(__always)
func squaredDistance<Element: SearchElement>(
  _ a: UnsafePointer<Element>, _ b: UnsafePointer<Element>, width: Int
) -> Double {
  var sum = 0.0
  for i in 0..<width {
    let difference = Double(a[i]) - Double(b[i])
    sum += difference * difference
  }
  return sum
}
