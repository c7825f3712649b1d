// Rows of softmax and of its logarithm. Nothing is rounded otherwise by one instruction set than by
// another.

import Glibc

/// Softmax of `x`, or its logarithm, [count], at least one.
public func softmaxRow(
  logarithmic: Bool, _ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, count: Int
) {
  let largest = rowMaximum(x, count)
  if logarithmic {
    var total = 0.0
    var start = 0
    while start < count {
      let length = min(512, count - start)
      for i in start..<start + length { out[i] = exponential(x[i] - largest) }
      total += rowSum(out + start, length)
      start += length
    }
    let shift = Float(Glibc.log(total))
    for i in 0..<count { out[i] = (x[i] - largest) - shift }
  } else {
    for i in 0..<count { out[i] = exponential(x[i] - largest) }
    let share = Float(1 / rowSum(out, count))
    for i in 0..<count { out[i] *= share }
  }
}

/// The gradient from the result `y`: `y (g - sum(g y))`, and `g - e^y sum(g)` for the logarithm.
public func softmaxGradientRow(
  logarithmic: Bool, _ y: UnsafePointer<Float>, _ g: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>, count: Int
) {
  if logarithmic {
    let total = Float(rowSum(g, count))
    for i in 0..<count { out[i] = g[i] - exponential(y[i]) * total }
  } else {
    for i in 0..<count { out[i] = y[i] * g[i] }
    let total = Float(rowSum(out, count))
    for i in 0..<count { out[i] = y[i] * (g[i] - total) }
  }
}
