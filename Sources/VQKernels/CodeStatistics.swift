/// Adds one batch to the counts [k] and raw sums [k, d] that an EMA codebook waits for.
///
/// `sums` are those of the vectors of each code; the raw sum is `(sums - count offset) / factor`, factor and
/// offset [groups, d] of the code's group of `groupSize` codes, nil for the identity. Where that is not
/// finite, as for a factor of 0, the batch pulls at nothing: the code's own raw value stands in.
public func addCodeStatistics(
  _ sums: UnsafePointer<Float>, counts: [Int32], width d: Int, factor: UnsafePointer<Float>?,
  offset: UnsafePointer<Float>?, groupSize: Int, codebook: UnsafePointer<Float>,
  pendingCounts: UnsafeMutablePointer<Float>, pendingSums: UnsafeMutablePointer<Float>
) {
  for (code, count) in counts.enumerated() where count > 0 {
    pendingCounts[code] += Float(count)
    let group = code / groupSize * d
    let n = Double(count)
    for i in code * d..<(code + 1) * d {
      var raw = Double(sums[i])
      if let factor, let offset {
        let column = group + i - code * d
        raw = (raw - n * Double(offset[column])) / Double(factor[column])
      }
      let sum = pendingSums[i] + Float(raw)
      pendingSums[i] = sum.isFinite ? sum : pendingSums[i] + Float(count) * codebook[i]
    }
  }
}

/// One update of an EMA codebook: counts and sums decay towards the pending ones, counts are smoothed
/// (`(N_j + epsilon) / (N + k epsilon) N`), and `codebook[j] = sums[j] / N_j`. Without smoothing a code that
/// nothing is added to keeps its value exactly, however small its weight has become; a sum that overflows
/// moves nothing and starts anew from its code.
public func updateByStatistics(
  counts: UnsafeMutablePointer<Float>, sums: UnsafeMutablePointer<Float>,
  pendingCounts: UnsafePointer<Float>, pendingSums: UnsafePointer<Float>, codes k: Int,
  width d: Int, decay: Float, epsilon: Float, _ codebook: UnsafeMutablePointer<Float>
) {
  let (old, new) = (Double(decay), 1 - Double(decay))
  var total = 0.0
  for j in 0..<k {
    counts[j] = Float(old * Double(counts[j]) + new * Double(pendingCounts[j]))
    total += Double(counts[j])
  }
  let smoothing = Double(epsilon)
  for j in 0..<k {
    let weight = (Double(counts[j]) + smoothing) / (total + Double(k) * smoothing) * total
    let moves = smoothing > 0 || pendingCounts[j] > 0
    let (sum, pending, code) = (sums + j * d, pendingSums + j * d, codebook + j * d)
    for i in 0..<d {
      let value = old * Double(sum[i]) + new * Double(pending[i])
      guard Float(value).isFinite else {
        let limit = Double(Float.greatestFiniteMagnitude)
        sum[i] = Float(min(max(Double(counts[j]) * Double(code[i]), -limit), limit))
        continue
      }
      sum[i] = Float(value)
      let updated = Float(value / weight)
      if moves, weight > 0, updated.isFinite { code[i] = updated }
    }
  }
}
