/// How `rows` codes are used, without a table of all possible codes: perplexity `2^H` (H in bits)
/// and the number in use.
public func codeUsage(
  _ codes: UnsafePointer<Int32>, rows: Int
) -> (perplexity: Double, active: Int) {
  let sorted = UnsafeBufferPointer(start: codes, count: rows).sorted()
  var runs: [Int] = []
  for position in sorted.indices {
    if position > 0 && sorted[position] == sorted[position - 1] {
      runs[runs.count - 1] += 1
    } else {
      runs.append(1)
    }
  }
  return countUsage(runs, total: rows)
}
