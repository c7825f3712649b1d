import Glibc

/// How `rows` codes are used, without a table of all possible codes: perplexity `2^H` (H in bits) and
/// the number in use.
public func codeUsage(
  _ codes: UnsafePointer<Int32>, rows: Int
) -> (perplexity: Double, active: Int) {
  let sorted = UnsafeBufferPointer(start: codes, count: rows).sorted()
  var (active, entropy, start) = (0, 0.0, 0)
  while start < rows {
    var end = start + 1
    while end < rows && sorted[end] == sorted[start] { end += 1 }
    let share = Double(end - start) / Double(rows)
    entropy -= share * log2(share)
    active += 1
    start = end
  }
  return (exp2(entropy), active)
}
