import CPlatform

/// Rows that transposed products take at once; counts of rows are multiples of it.
private var productRows: Int {
  #if VQ_AVX512
    8
  #else
    4
  #endif
}

/// Columns that the products take at once; counts of columns are multiples of it.
public var productColumns: Int { 2 * Lanes.scalarCount }

/// Sums of four rows and two vectors of columns.
private struct FourRows {
  var a0, a1, b0, b1, c0, c1, d0, d1: Lanes

  @inline(__always)
  init() {
    (a0, a1, b0, b1) = (Lanes(), Lanes(), Lanes(), Lanes())
    (c0, c1, d0, d1) = (Lanes(), Lanes(), Lanes(), Lanes())
  }

  @inline(__always)
  mutating func add(_ x: UnsafePointer<Float>, stride: Int, _ low: Lanes, _ high: Lanes) {
    let (a, b) = (Lanes(repeating: x[0]), Lanes(repeating: x[stride]))
    let (c, d) = (Lanes(repeating: x[2 * stride]), Lanes(repeating: x[3 * stride]))
    a0.add(a, times: low)
    a1.add(a, times: high)
    b0.add(b, times: low)
    b1.add(b, times: high)
    c0.add(c, times: low)
    c1.add(c, times: high)
    d0.add(d, times: low)
    d1.add(d, times: high)
  }

  @inline(__always)
  func add(to out: UnsafeMutablePointer<Float>, stride: Int) {
    let lanes = Lanes.scalarCount
    @inline(__always)
    func add(_ row: Int, _ low: Lanes, _ high: Lanes) {
      let target = out + row * stride
      let x = UnsafePointer(target)
      target.store(x.vector(Lanes.self) + low)
      (target + lanes).store((x + lanes).vector(Lanes.self) + high)
    }
    add(0, a0, a1)
    add(1, b0, b1)
    add(2, c0, c1)
    add(3, d0, d1)
  }
}

/// Products that are added before the next column of `b` is read: their part of it stays in the
/// first-level cache.
private var blockDepth: Int { 256 }

/// `out[p] = a[p] b[p]` for `points` matrices `a` [rows, depth] and `b` [depth, columns].
///
/// - Parameters:
///   - a: rows `rowStride` apart, which may overlap; readable up to a multiple of `tapRows`.
///   - b: [points, columns / productColumns, depth, productColumns].
///   - out: [rows up to a multiple of `tapRows`, columns] for each point.
///   - aStride, outStride: from one matrix to the next.
public func multiplyPoints(
  _ a: UnsafePointer<Float>, aStride: Int, rowStride: Int, _ b: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>, outStride: Int, points: Int, rows: Int, depth: Int,
  columns: Int
) {
  let blocks = (depth + blockDepth - 1) / blockDepth
  let size = (depth + blocks - 1) / blocks
  for point in 0..<points {
    for first in stride(from: 0, to: depth, by: size) {
      let count = min(size, depth - first)
      // Each rows fetch their part of what comes next.
      let fetched = (count * tapRows + rows - 1) / rows
      for column in stride(from: 0, to: columns, by: productColumns) {
        let panel = b + (point * columns + column) * depth + first * productColumns
        for row in stride(from: 0, to: rows, by: tapRows) {
          let x = a + point * aStride + row * rowStride + first
          let next = panel + depth * productColumns + row / tapRows * fetched * productColumns
          for i in stride(from: 0, to: fetched * productColumns, by: 16) { vq_prefetch(next + i) }
          var sums = SixRows()
          var y = panel
          for i in 0..<count {
            sums.add(
              x[i], x[rowStride + i], x[2 * rowStride + i], x[3 * rowStride + i],
              x[4 * rowStride + i], x[5 * rowStride + i], y)
            y += productColumns
          }
          let target = out + point * outStride + row * columns + column
          if first == 0 {
            sums.store(target, stride: columns)
          } else {
            sums.add(to: target, stride: columns)
          }
        }
      }
    }
  }
}

/// `out[p, q, i, j] += sum over t below tiles of a[p, t + q, i] b[p, t, j]`, i below `rows`, j
/// below `columns`.
///
/// - Parameters:
///   - a, b: [rows / n, capacity, n] and [columns / n, capacity, n] for each point, of vectors of
///     n.
///   - aStride, bStride: from one point to the next.
///   - out: [points, parts, rows, columns].
public func addTransposedProducts(
  _ a: UnsafePointer<Float>, aStride: Int, _ b: UnsafePointer<Float>, bStride: Int, capacity: Int,
  _ out: UnsafeMutablePointer<Float>, points: Int, parts: Int, rows: Int, tiles: Int, columns: Int
) {
  let lanes = Lanes.scalarCount
  for point in 0..<points {
    for column in stride(from: 0, to: columns, by: productColumns) {
      let right = b + point * bStride + column * capacity
      for part in 0..<parts {
        for row in stride(from: 0, to: rows, by: productRows) {
          let target = out + ((point * parts + part) * rows + row) * columns + column
          for i in 0..<productRows { vq_prefetch(target + i * columns) }
          var sums = FourRows()
          #if VQ_AVX512
            var rest = FourRows()
          #endif
          var x =
            a + point * aStride + (row / lanes * capacity + part) * lanes + row % lanes
          var y = right
          for _ in 0..<tiles {
            let (low, high) = (y.vector(Lanes.self), (y + capacity * lanes).vector(Lanes.self))
            sums.add(x, stride: 1, low, high)
            #if VQ_AVX512
              rest.add(x + 4, stride: 1, low, high)
            #endif
            x += lanes
            y += lanes
          }
          sums.add(to: target, stride: columns)
          #if VQ_AVX512
            rest.add(to: target + 4 * columns, stride: columns)
          #endif
        }
      }
    }
  }
}
