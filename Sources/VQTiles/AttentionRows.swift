// Rows of attention: softmax whose division waits until the values are added, and its gradient.

import Glibc

@inline(__always)
private func add(_ bias: UnsafePointer<Float>?, _ scores: UnsafeMutablePointer<Float>, _ count: Int)
{
  guard let bias else { return }
  for i in 0..<count { scores[i] += bias[i] }
}

/// Turns `scores + bias` [count], at least one, into exponentials less the largest.
///
/// - Parameter logSum: `log sum(e^(scores + bias))`, infinity for a row that attends to nothing.
/// - Returns: 1 divided by the sum of the exponentials, 0 for such a row.
public func attentionRow(
  _ scores: UnsafeMutablePointer<Float>, bias: UnsafePointer<Float>?, count: Int,
  logSum: UnsafeMutablePointer<Float>
) -> Float {
  add(bias, scores, count)
  let largest = rowMaximum(scores, count)
  if largest == -.infinity {
    scores.update(repeating: 0, count: count)
    logSum.pointee = .infinity
    return 0
  }
  for i in 0..<count { scores[i] = exponential(scores[i] - largest) }
  let total = rowSum(scores, count)
  logSum.pointee = Float(Double(largest) + Glibc.log(total))
  return Float(1 / total)
}

/// Turns `scores` into the shares `p = e^(scores + bias - logSum)` and `gradient`, that of the
/// shares, into that of the scores: `p (gradient - sum(p gradient))`.
public func attentionGradientRow(
  _ scores: UnsafeMutablePointer<Float>, bias: UnsafePointer<Float>?, count: Int, logSum: Float,
  _ gradient: UnsafeMutablePointer<Float>
) {
  add(bias, scores, count)
  var total = 0.0
  var start = 0
  withUnsafeTemporaryAllocation(of: Float.self, capacity: 512) { products in
    let products = products.baseAddress!
    while start < count {
      let length = min(512, count - start)
      for i in start..<start + length { scores[i] = exponential(scores[i] - logSum) }
      for i in 0..<length { products[i] = scores[start + i] * gradient[start + i] }
      total += rowSum(products, length)
      start += length
    }
  }
  let mean = Float(total)
  for i in 0..<count { gradient[i] = scores[i] * (gradient[i] - mean) }
}
