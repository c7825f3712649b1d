/// Adds one batch to the counts [k] and raw sums [k, d] that an EMA codebook waits for.
///
/// `sums` are those of the vectors of each code; the raw sum is `(sums - count offset) / factor`,
/// factor and offset [groups, d] of the code's group of `groupSize` codes, nil for the identity.
/// Where its mean is beyond `rawLimit`, as for a factor of 0, the batch pulls at nothing: the
/// code's own raw value stands in.
public func addCodeStatistics(
  _ sums: UnsafePointer<Float>, counts: [Int32], width d: Int, factor: UnsafePointer<Float>?,
  offset: UnsafePointer<Float>?, groupSize: Int, codebook: UnsafePointer<Float>,
  pendingCounts: UnsafeMutablePointer<Float>, pendingSums: UnsafeMutablePointer<Float>
) {
  let limit = factor == nil ? 0 : Double(rawLimit(codebook, count: counts.count, width: d))
  for (code, count) in counts.enumerated() where count > 0 {
    pendingCounts[code] += Float(count)
    let group = code / groupSize * d
    let n = Double(count)
    for i in code * d..<(code + 1) * d {
      var raw = Double(sums[i])
      if let factor, let offset {
        let column = group + i - code * d
        raw = (raw - n * Double(offset[column])) / Double(factor[column])
        if !(abs(raw) <= n * limit) { raw = n * Double(codebook[i]) }
      }
      let sum = pendingSums[i] + Float(raw)
      pendingSums[i] = sum.isFinite ? sum : pendingSums[i] + Float(count) * codebook[i]
    }
  }
}

/// The count below which an unused code's count and sum decay no further.
private let leastCount: Float = 1e-30

/// One update of an EMA codebook: counts and sums decay towards the pending ones, counts are
/// smoothed (`(N_j + epsilon) / (N + k epsilon) N`), and `codebook[j] = sums[j] / N_j`. A code that
/// nothing is added to keeps its value exactly: count and sum decay alike, however small they
/// become. A sum that overflows moves nothing and starts anew from its code.
public func updateByStatistics(
  counts: UnsafeMutablePointer<Float>, sums: UnsafeMutablePointer<Float>,
  pendingCounts: UnsafePointer<Float>, pendingSums: UnsafePointer<Float>, codes k: Int,
  width d: Int, decay: Float, epsilon: Float, _ codebook: UnsafeMutablePointer<Float>
) {
  let (old, new) = (Double(decay), 1 - Double(decay))
  var total = 0.0
  for j in 0..<k {
    let count = old * Double(counts[j]) + new * Double(pendingCounts[j])
    if pendingCounts[j] > 0 || count >= Double(leastCount) {
      counts[j] = Float(count)
      if pendingCounts[j] == 0 { scale(sums + j * d, by: decay, count: d) }
    }
    total += Double(counts[j])
  }
  let smoothing = Double(epsilon)
  for j in 0..<k {
    let weight = (Double(counts[j]) + smoothing) / (total + Double(k) * smoothing) * total
    let (sum, pending, code) = (sums + j * d, pendingSums + j * d, codebook + j * d)
    for i in 0..<(pendingCounts[j] > 0 ? d : 0) {
      let value = old * Double(sum[i]) + new * Double(pending[i])
      guard Float(value).isFinite else {
        let limit = Double(Float.greatestFiniteMagnitude)
        sum[i] = Float(min(max(Double(counts[j]) * Double(code[i]), -limit), limit))
        continue
      }
      sum[i] = Float(value)
      let updated = Float(value / weight)
      if weight > 0, updated.isFinite { code[i] = updated }
    }
  }
}

private func scale(_ x: UnsafeMutablePointer<Float>, by factor: Float, count: Int) {
  for i in 0..<count { x[i] *= factor }
}
