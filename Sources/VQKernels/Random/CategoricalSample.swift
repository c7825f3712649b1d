/// A category of each row of logits `x` [rows, columns], drawn with the probabilities softmax(x):
/// the first whose cumulative probability exceeds a uniform number of 53 bits; one block a row.
public func sampleCategories(
  _ state: RandomState, _ x: UnsafePointer<Float>, _ codes: UnsafeMutablePointer<Int32>, rows: Int,
  columns: Int
) {
  let underflow = GradualUnderflow()
  defer { underflow.end() }
  let tiles = (columns + tile - 1) / tile
  parallelFor(rows, grain: max(1, elementGrain / columns)) { range in
    withUnsafeTemporaryAllocation(of: Float.self, capacity: columns) { weights in
      withUnsafeTemporaryAllocation(of: Double.self, capacity: tiles) { sums in
        let weights = weights.baseAddress!
        for row in range {
          let logits = x + row * columns
          let largest = rowMaximum(logits, columns)
          for j in 0..<columns { weights[j] = exponential(logits[j] - largest) }
          var total = 0.0
          for t in 0..<tiles {
            sums[t] = rowSum(weights + t * tile, min(tile, columns - t * tile))
            total += sums[t]
          }
          let words = philox(state, UInt64(row))
          let uniform = Double((UInt64(words[1]) << 32 | UInt64(words[0])) >> 11) * 0x1p-53
          var rest = uniform * total
          var t = 0
          while t < tiles - 1 && rest >= sums[t] {
            rest -= sums[t]
            t += 1
          }
          let length = min(tile, columns - t * tile)
          codes[row] = Int32(t * tile + position(of: rest, weights + t * tile, length))
        }
      }
    }
  }
}

private let tile = 512

/// The first position whose cumulative weight exceeds `target`, the last positive weight's if none
/// does.
private func position(of target: Double, _ weights: UnsafePointer<Float>, _ count: Int) -> Int {
  var (sum, last) = (0.0, 0)
  for j in 0..<count where weights[j] > 0 {
    sum += Double(weights[j])
    last = j
    if sum > target { break }
  }
  return last
}
