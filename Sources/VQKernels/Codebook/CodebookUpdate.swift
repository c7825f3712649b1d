/// `out[i] = x[picks[i]] + 0.01 |x[picks[i]]| noise[i] / sqrt(d)`: a copy moved by about 1% of its
/// length where `noise` [m, d] is standard normal.
public func noisyRows(
  _ x: UnsafePointer<Float>, picks: UnsafePointer<Int32>, noise: UnsafePointer<Float>, count m: Int,
  width d: Int, _ out: UnsafeMutablePointer<Float>
) {
  for row in 0..<m {
    let source = x + Int(picks[row]) * d
    var squares = 0.0
    for i in 0..<d { squares += Double(source[i]) * Double(source[i]) }
    let factor = 0.01 * (squares / Double(d)).squareRoot()
    for i in 0..<d {
      let moved = Double(source[i]) + factor * Double(noise[row * d + i])
      let limit = Double(Float.greatestFiniteMagnitude)
      out[row * d + i] = Float(min(max(moved, -limit), limit))
    }
  }
}

/// `target[to] = source[from]` for rows of width `d`.
public func copyRow(
  _ source: UnsafePointer<Float>, _ from: Int, _ target: UnsafeMutablePointer<Float>, _ to: Int,
  width d: Int
) {
  (target + to * d).update(from: source + from * d, count: d)
}

/// How large a raw element may be that the inverse of an affine map gives: a million times the
/// largest of the first `count` codes, or 1. A map that shrinks its channel to nothing has no
/// inverse.
func rawLimit(_ codebook: UnsafePointer<Float>, count: Int, width d: Int) -> Float {
  var largest: Float = 1
  for i in 0..<count * d { largest = max(largest, abs(codebook[i])) }
  return 1e6 * largest
}

/// Writes raw codebook rows such that the affine map gives `values` [m, d]:
/// `codebook[rows[i]] = (values[i] - offset) / factor`, factor and offset [groups, d] of the row's
/// group of `groupSize` codes, nil for the identity.
///
/// Where that is beyond `rawLimit`, as for a factor of 0, the element keeps its value.
public func writeRawRows(
  _ values: UnsafePointer<Float>, rows: [Int], width d: Int, factor: UnsafePointer<Float>?,
  offset: UnsafePointer<Float>?, groupSize: Int, _ codebook: UnsafeMutablePointer<Float>
) {
  let limit = rawLimit(codebook, count: (rows.max() ?? -1) + 1, width: d)
  for (index, row) in rows.enumerated() {
    let source = values + index * d
    let target = codebook + row * d
    guard let factor, let offset else {
      target.update(from: source, count: d)
      continue
    }
    let group = row / groupSize * d
    for i in 0..<d {
      let raw = Float((Double(source[i]) - Double(offset[group + i])) / Double(factor[group + i]))
      if abs(raw) <= limit { target[i] = raw }
    }
  }
}

/// Counts one training step: 0 for codes in use, one more for the others. Codes that reach `limit`
/// are returned, their counters at 0 again.
public func countUnusedSteps(
  _ counts: [Int32], _ unused: UnsafeMutablePointer<Int32>, limit: Int
) -> [Int] {
  var expired: [Int] = []
  for (code, count) in counts.enumerated() {
    unused[code] = count > 0 ? 0 : (unused[code] < Int32.max ? unused[code] + 1 : Int32.max)
    if Int(unused[code]) >= limit {
      unused[code] = 0
      expired.append(code)
    }
  }
  return expired
}
