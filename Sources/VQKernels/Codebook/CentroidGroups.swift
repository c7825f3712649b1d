/// Centroids in groups of near ones, each of whole tiles of `GroupKernels`.
struct CentroidGroups {
  let count: Int
  /// The same up to a whole number of vectors.
  let padded: Int
  let tiles: Int
  /// The centroid in each place, [padded, tiles, tileCodes]; -1 where there is none.
  let codes: UnsafeMutablePointer<Int32>
  /// The place of each centroid.
  let places: UnsafeMutablePointer<Int32>

  /// Halves of `centroids` [k, d] along the axis of their largest variance, and halves of those,
  /// down to groups; there are no more of them than elements of a point, save few.
  init(
    _ centroids: UnsafePointer<Float>, codes k: Int, width d: Int, tileCodes: Int
  ) {
    let least = (k - 1) / tileCodes + 1
    tiles = (least - 1) / max(d, 16) + 1
    let size = tiles * tileCodes
    count = (k - 1) / size + 1
    padded = (count + 15) / 16 * 16
    var order = (0..<k).map { Int32($0) }
    var parts = [0..<k]
    while let part = parts.popLast() {
      guard part.count > size else { continue }
      sortByWidestAxis(&order[part], centroids, width: d)
      let middle = part.lowerBound + ((part.count - 1) / size + 1) / 2 * size
      parts += [part.lowerBound..<middle, middle..<part.upperBound]
    }
    codes = .allocate(capacity: padded * size)
    places = .allocate(capacity: k)
    (codes + k).initialize(repeating: -1, count: padded * size - k)
    for (place, code) in order.enumerated() {
      codes[place] = code
      places[Int(code)] = Int32(place)
    }
  }

  func deallocate() {
    codes.deallocate()
    places.deallocate()
  }
}

private func sortByWidestAxis(
  _ order: inout ArraySlice<Int32>, _ centroids: UnsafePointer<Float>, width d: Int
) {
  var (axis, widest) = (0, -1.0)
  let share = 1 / Double(order.count)
  for i in 0..<d {
    let mean = order.reduce(0) { $0 + Double(centroids[Int($1) * d + i]) } * share
    let variance = order.reduce(0) { sum, code in
      let difference = Double(centroids[Int(code) * d + i]) - mean
      return sum + difference * difference
    }
    if variance > widest { (axis, widest) = (i, variance) }
  }
  order.sort {
    let (a, b) = (centroids[Int($0) * d + axis], centroids[Int($1) * d + axis])
    return a == b ? $0 < $1 : a < b
  }
}
