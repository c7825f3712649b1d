/// The square of the least element that does not count as 0.
private var leastSquare: Float { 0x1p-120 }

/// `out` = (`x` minus `center`) times `scale`, both [d]; returns the sum of its squares, which is
/// not finite where an element is not.
@inline(__always)
private func centered(
  _ x: UnsafePointer<Float>, _ center: UnsafePointer<Float>, width d: Int, scale: Float,
  _ out: UnsafeMutablePointer<Float>
) -> Float {
  let lanes = Lanes.scalarCount
  var sums = Lanes()
  var i = 0
  while i + lanes <= d {
    let value =
      ((x + i).vector(Lanes.self) - (center + i).vector(Lanes.self)) * Lanes(repeating: scale)
    let square = value * value
    (out + i).store(
      choose(Lanes(), whereLess: square, Lanes(repeating: leastSquare), else: value))
    sums += square
    i += lanes
  }
  var rest: Float = 0
  while i < d {
    let value = (x[i] - center[i]) * scale
    let square = value * value
    out[i] = square < leastSquare ? 0 : value
    rest += square
    i += 1
  }
  return total(sums) + rest
}

/// `out[r]` = row r of `x` minus `center`, times `scale`, [count, d], elements below 2^-60 taken
/// for 0; `squares[r]` = its squared length in float32, not finite where an element is not.
public func centerRows(
  _ x: UnsafePointer<Float>, count: Int, _ center: UnsafePointer<Float>, width d: Int, scale: Float,
  _ out: UnsafeMutablePointer<Float>, _ squares: UnsafeMutablePointer<Float>
) {
  for r in 0..<count {
    squares[r] = centered(x + r * d, center, width: d, scale: scale, out + r * d)
  }
}

/// `panel[i, r]` = `rows[r, i]`, [d, panelPoints], 0 for r from `count` on.
public func packPanel(
  _ rows: UnsafePointer<Float>, count: Int, width d: Int, _ panel: UnsafeMutablePointer<Float>
) {
  if count < panelPoints { panel.update(repeating: 0, count: d * panelPoints) }
  for r in 0..<count {
    let row = rows + r * d
    let column = panel + r
    for i in 0..<d { column[i * panelPoints] = row[i] }
  }
}
