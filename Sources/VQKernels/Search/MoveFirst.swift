/// Moves the `wanted` first of `count` distinct elements in an order to the front, the last of them
/// to its place (Hoare's selection).
@inline(__always)
func moveFirst<Element>(
  _ wanted: Int, _ x: UnsafeMutablePointer<Element>, count: Int,
  before isBefore: (Element, Element) -> Bool
) {
  let place = wanted - 1
  var (low, high) = (0, count - 1)
  while low < high {
    var (a, pivot, c) = (x[low], x[(low + high) / 2], x[high])
    if isBefore(c, a) { swap(&a, &c) }
    if isBefore(pivot, a) { pivot = a } else if isBefore(c, pivot) { pivot = c }
    var (i, j) = (low, high)
    while i <= j {
      while isBefore(x[i], pivot) { i += 1 }
      while isBefore(pivot, x[j]) { j -= 1 }
      if i > j { break }
      (x[i], x[j]) = (x[j], x[i])
      i += 1
      j -= 1
    }
    if place <= j { high = j } else if place >= i { low = i } else { return }
  }
}
