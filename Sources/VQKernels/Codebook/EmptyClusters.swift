/// Moves codes without points onto points: each takes the one that is farthest from its own code,
/// no two of equal elements, the lowest row first on equality.
///
/// - Parameters:
///   - x: [n, d].
///   - codes: of the rows of `x`, [n].
///   - counts: points of each code.
///   - codebook: [k, d].
///   - movesDonors: whether the codes are the means of their points: a point that is taken then
///     leaves the mean of its code, which keeps one point at least. Otherwise the other codes stay.
/// - Returns: how many moved; 0 only when no point lies off its code.
func fillEmptyClusters<Element: SearchElement>(
  _ x: UnsafePointer<Element>, count n: Int, width d: Int, _ codes: UnsafePointer<Int32>,
  counts: [Int32], _ codebook: UnsafeMutablePointer<Element>, movesDonors: Bool
) -> Int {
  let empty = counts.indices.filter { counts[$0] == 0 }
  if empty.isEmpty { return 0 }
  let distances = UnsafeMutablePointer<Double>.allocate(capacity: n)
  defer { distances.deallocate() }
  parallelFor(n, grain: max(1, elementGrain / d)) { range in
    for row in range {
      distances[row] = squaredDistance(x + row * d, codebook + Int(codes[row]) * d, width: d)
    }
  }
  var (moved, next) = (0, 0)
  var taken: Set<[Element]> = []
  var counts = counts
  // Equal points and single ones may stand in the way of the first.
  for limit in [8 * empty.count, n] {
    let far = farthestRows(distances, rows: n, count: limit)
    for row in far[min(next, far.count)...] where moved < empty.count {
      let (donor, point) = (Int(codes[row]), x + row * d)
      let isNew = taken.insert(Array(UnsafeBufferPointer(start: point, count: d))).inserted
      guard isNew, counts[donor] > 1 || !movesDonors else { continue }
      (codebook + empty[moved] * d).update(from: point, count: d)
      moved += 1
      guard movesDonors else { continue }
      let (mean, count) = (codebook + donor * d, Double(counts[donor]))
      for i in 0..<d {
        mean[i] = Element((Double(mean[i]) * count - Double(point[i])) / (count - 1))
      }
      counts[donor] -= 1
    }
    if moved == empty.count || far.count < limit { break }
    next = far.count
  }
  return moved
}

/// At most `count` rows of largest distance above 0, the lower row first on equality.
private func farthestRows(_ distances: UnsafePointer<Double>, rows: Int, count: Int) -> [Int] {
  var far = (0..<rows).filter { distances[$0] > 0 }
  if far.count > count {
    let limit = far.map { distances[$0] }.sorted()[far.count - count]
    far = far.filter { distances[$0] >= limit }
  }
  far.sort { distances[$0] > distances[$1] || (distances[$0] == distances[$1] && $0 < $1) }
  return Array(far.prefix(count))
}
