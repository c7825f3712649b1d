// Rows of batch normalization, [rows, columns]: y = (x - mean) factor + shift, max(0, y) where
// `relu`. Nothing is rounded otherwise by one instruction set than by another.

private typealias Eight = SIMD8<Float>

/// Calls `body` for every eight columns, then for every one that is left.
@inline(__always)
private func forEachLane(_ columns: Int, _ body: (_ column: Int, _ lanes: Int) -> Void) {
  var column = 0
  while column + 8 <= columns {
    body(column, 8)
    column += 8
  }
  while column < columns {
    body(column, 1)
    column += 1
  }
}

/// Eight elements, or one and zeros.
@inline(__always)
private func load(_ x: UnsafePointer<Float>, _ lanes: Int) -> Eight {
  lanes == 8 ? x.vector(Eight.self) : Eight(x[0], 0, 0, 0, 0, 0, 0, 0)
}

@inline(__always)
private func store(_ vector: Eight, _ x: UnsafeMutablePointer<Float>, _ lanes: Int) {
  if lanes == 8 { x.store(vector) } else { x[0] = vector[0] }
}

/// Adds the rows of `x` to `sums` [columns].
public func addRows(
  _ x: UnsafePointer<Float>, rows: Int, columns: Int, _ sums: UnsafeMutablePointer<Float>
) {
  var row = 0
  while row + 4 <= rows {
    let (a, b) = (x + row * columns, x + (row + 1) * columns)
    let (c, d) = (x + (row + 2) * columns, x + (row + 3) * columns)
    for i in 0..<columns { sums[i] += (a[i] + b[i]) + (c[i] + d[i]) }
    row += 4
  }
  for row in row..<rows {
    let a = x + row * columns
    for i in 0..<columns { sums[i] += a[i] }
  }
}

/// Adds the squares of the rows of `x` less `center` to `sums`, both [columns].
public func addSquares(
  _ x: UnsafePointer<Float>, rows: Int, columns: Int, _ center: UnsafePointer<Float>,
  _ sums: UnsafeMutablePointer<Float>
) {
  var row = 0
  while row + 2 <= rows {
    let (a, b) = (x + row * columns, x + (row + 1) * columns)
    for i in 0..<columns {
      let (p, q) = (a[i] - center[i], b[i] - center[i])
      sums[i] += p * p + q * q
    }
    row += 2
  }
  for row in row..<rows {
    let a = x + row * columns
    for i in 0..<columns { sums[i] += (a[i] - center[i]) * (a[i] - center[i]) }
  }
}

/// `out` = y of the rows of `x`.
public func normalizeRows(
  _ x: UnsafePointer<Float>, rows: Int, columns: Int, mean: UnsafePointer<Float>,
  factor: UnsafePointer<Float>, shift: UnsafePointer<Float>, relu: Bool,
  _ out: UnsafeMutablePointer<Float>
) {
  for row in 0..<rows {
    let (x, out) = (x + row * columns, out + row * columns)
    if relu {
      for i in 0..<columns {
        let y = (x[i] - mean[i]) * factor[i] + shift[i]
        out[i] = y < 0 ? 0 : y
      }
    } else {
      for i in 0..<columns { out[i] = (x[i] - mean[i]) * factor[i] + shift[i] }
    }
  }
}

/// Adds g to the first `columns` sums and g (x - mean) to the others, [2, columns], where g is the
/// gradient, or 0 where `relu` and y, computed as `normalizeRows` does, is not positive.
public func addGradientProducts(
  _ gradient: UnsafePointer<Float>, _ x: UnsafePointer<Float>, rows: Int, columns: Int,
  mean: UnsafePointer<Float>, factor: UnsafePointer<Float>, shift: UnsafePointer<Float>,
  relu: Bool, _ sums: UnsafeMutablePointer<Float>
) {
  var row = 0
  while row < rows {
    // Two at a time read and write the sums half as often.
    let next = row + 1 < rows ? columns : 0
    let (gradient, x) = (gradient + row * columns, x + row * columns)
    forEachLane(columns) { i, lanes in
      let (center, level) = (load(mean + i, lanes), load(shift + i, lanes))
      let factor = load(factor + i, lanes)
      func kept(_ offset: Int) -> (gradient: Eight, centered: Eight) {
        let centered = load(x + offset + i, lanes) - center
        let g = load(gradient + offset + i, lanes)
        return (relu ? g.replacing(with: 0, where: centered * factor + level .<= 0) : g, centered)
      }
      let products = sums + columns + i
      var (sum, product) = (load(sums + i, lanes), load(products, lanes))
      let first = kept(0)
      sum += first.gradient
      product += first.gradient * first.centered
      if next > 0 {
        let second = kept(next)
        sum += second.gradient
        product += second.gradient * second.centered
      }
      store(sum, sums + i, lanes)
      store(product, products, lanes)
    }
    row += 2
  }
}

/// `out = factor (g - level - (x - mean) slope)`, g as in `addGradientProducts`.
public func pullGradientRows(
  _ gradient: UnsafePointer<Float>, _ x: UnsafePointer<Float>, rows: Int, columns: Int,
  mean: UnsafePointer<Float>, factor: UnsafePointer<Float>, shift: UnsafePointer<Float>,
  level: UnsafePointer<Float>, slope: UnsafePointer<Float>, relu: Bool,
  _ out: UnsafeMutablePointer<Float>
) {
  for row in 0..<rows {
    let (gradient, x) = (gradient + row * columns, x + row * columns)
    let out = out + row * columns
    if relu {
      forEachLane(columns) { i, lanes in
        let centered = load(x + i, lanes) - load(mean + i, lanes)
        let factor = load(factor + i, lanes)
        let y = centered * factor + load(shift + i, lanes)
        let g = load(gradient + i, lanes).replacing(with: 0, where: y .<= 0)
        let pull = load(level + i, lanes) + centered * load(slope + i, lanes)
        store(factor * (g - pull), out + i, lanes)
      }
    } else {
      for i in 0..<columns {
        out[i] = factor[i] * (gradient[i] - level[i] - (x[i] - mean[i]) * slope[i])
      }
    }
  }
}
