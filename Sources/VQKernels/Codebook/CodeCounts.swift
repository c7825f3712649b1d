import Glibc

/// `counts[code] += 1` for every code but -1, which stands at masked positions.
public func addCodeCounts(
  _ codes: UnsafePointer<Int32>, count: Int, _ counts: UnsafeMutablePointer<Int64>
) {
  for i in 0..<count where codes[i] >= 0 { counts[Int(codes[i])] += 1 }
}

/// The first code that is neither -1 nor in `0..<bound`.
public func firstUncountableCode(
  _ codes: UnsafePointer<Int32>, count: Int, bound: Int
) -> Int32? {
  for i in 0..<count where codes[i] < -1 || Int(codes[i]) >= bound { return codes[i] }
  return nil
}

/// `2^H` with H the entropy, in bits, of `counts` over their sum `total`, and the counts above 0.
public func countUsage<Count: FixedWidthInteger>(
  _ counts: [Count], total: Int
) -> (perplexity: Double, active: Int) {
  var active = 0
  var entropy = 0.0
  for count in counts where count > 0 {
    active += 1
    let share = Double(count) / Double(total)
    entropy -= share * log2(share)
  }
  return (exp2(entropy), active)
}
