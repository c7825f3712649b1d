// One sample's gates in one step of a recurrent layer. Loops have few pointers each, so that they
// vectorise; sets with fused products round them once.

/// Gates i, f, g, o of an LSTM [4, count] from their sums without `bias`, in place, then
/// `c = f before + i g` and `y = o tanh(c)`.
public func lstmRow(
  _ gates: UnsafeMutablePointer<Float>, bias: UnsafePointer<Float>, before: UnsafePointer<Float>,
  _ c: UnsafeMutablePointer<Float>, _ y: UnsafeMutablePointer<Float>, count: Int
) {
  let (f, g, o) = (gates + count, gates + 2 * count, gates + 3 * count)
  for j in 0..<2 * count { gates[j] = logistic(gates[j] + bias[j]) }
  for j in 2 * count..<3 * count { gates[j] = hyperbolicTangent(gates[j] + bias[j]) }
  for j in 3 * count..<4 * count { gates[j] = logistic(gates[j] + bias[j]) }
  for j in 0..<count { c[j] = fused(f[j], before[j], gates[j] * g[j]) }
  for j in 0..<count { y[j] = o[j] * hyperbolicTangent(c[j]) }
}

/// The gradient of `lstmRow` from its gates and cells: that of the sums [4, count], from those of y
/// and c; `dc` becomes that of `before`.
public func lstmGradientRow(
  _ gates: UnsafePointer<Float>, before: UnsafePointer<Float>, _ c: UnsafePointer<Float>,
  dy: UnsafePointer<Float>, dc: UnsafeMutablePointer<Float>, _ out: UnsafeMutablePointer<Float>,
  count: Int
) {
  let (f, g, o) = (gates + count, gates + 2 * count, gates + 3 * count)
  let (df, dg, dO) = (out + count, out + 2 * count, out + 3 * count)
  for j in 0..<count {
    let t = hyperbolicTangent(c[j])
    dO[j] = dy[j] * t * o[j] * (1 - o[j])
    dc[j] += dy[j] * o[j] * (1 - t * t)
  }
  for j in 0..<count { out[j] = dc[j] * g[j] * gates[j] * (1 - gates[j]) }
  for j in 0..<count { df[j] = dc[j] * before[j] * f[j] * (1 - f[j]) }
  for j in 0..<count { dg[j] = dc[j] * gates[j] * (1 - g[j] * g[j]) }
  for j in 0..<count { dc[j] *= f[j] }
}

/// Gates r, z, n of a GRU [3, count] from the input's sums, in place, and the `hidden` ones: biases
/// of r and z stand in `bias` [3, count], that of the hidden part of n in `hiddenBias`.
/// `q = hidden n + bias`, `n = tanh(input n + r q)`, `y = n + z (before - n)`.
public func gruRow(
  _ gates: UnsafeMutablePointer<Float>, hidden: UnsafePointer<Float>, bias: UnsafePointer<Float>,
  hiddenBias: UnsafePointer<Float>, before: UnsafePointer<Float>, _ q: UnsafeMutablePointer<Float>,
  _ y: UnsafeMutablePointer<Float>, count: Int
) {
  let (z, n) = (gates + count, gates + 2 * count)
  let (hiddenN, biasN) = (hidden + 2 * count, bias + 2 * count)
  for j in 0..<2 * count { gates[j] = logistic(gates[j] + hidden[j] + bias[j]) }
  for j in 0..<count { q[j] = hiddenN[j] + hiddenBias[j] }
  for j in 0..<count { n[j] = hyperbolicTangent(fused(gates[j], q[j], n[j] + biasN[j])) }
  for j in 0..<count { y[j] = fused(z[j], before[j] - n[j], n[j]) }
}

/// The gradient of `gruRow` from its gates: those of the input's sums, `out`, and of the hidden
/// ones, [3, count] each, from that of y; `dy` becomes what of it goes straight to `before`.
public func gruGradientRow(
  _ gates: UnsafePointer<Float>, _ q: UnsafePointer<Float>, before: UnsafePointer<Float>,
  dy: UnsafeMutablePointer<Float>, _ out: UnsafeMutablePointer<Float>,
  hidden: UnsafeMutablePointer<Float>, count: Int
) {
  let (z, n) = (gates + count, gates + 2 * count)
  let (dz, dn, hiddenN) = (out + count, out + 2 * count, hidden + 2 * count)
  for j in 0..<count { dn[j] = dy[j] * (1 - z[j]) * (1 - n[j] * n[j]) }
  for j in 0..<count { out[j] = dn[j] * q[j] * gates[j] * (1 - gates[j]) }
  for j in 0..<count { dz[j] = dy[j] * (before[j] - n[j]) * z[j] * (1 - z[j]) }
  for j in 0..<2 * count { hidden[j] = out[j] }
  for j in 0..<count { hiddenN[j] = dn[j] * gates[j] }
  for j in 0..<count { dy[j] *= z[j] }
}

/// `y = f(sums + bias)`, f the rectifier or tanh.
public func elmanRow(
  rectified: Bool, _ sums: UnsafePointer<Float>, bias: UnsafePointer<Float>,
  _ y: UnsafeMutablePointer<Float>, count: Int
) {
  if rectified {
    for j in 0..<count {
      let sum = sums[j] + bias[j]
      y[j] = sum < 0 ? 0 : sum
    }
  } else {
    for j in 0..<count { y[j] = hyperbolicTangent(sums[j] + bias[j]) }
  }
}

/// The gradient of `elmanRow` from its result.
public func elmanGradientRow(
  rectified: Bool, _ y: UnsafePointer<Float>, dy: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>, count: Int
) {
  if rectified {
    for j in 0..<count { out[j] = y[j] > 0 ? dy[j] : 0 }
  } else {
    for j in 0..<count { out[j] = dy[j] * (1 - y[j] * y[j]) }
  }
}
