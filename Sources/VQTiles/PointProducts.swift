/// Rows that the products take at once; counts of rows are multiples of it.
public var productRows: Int {
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
  func store(_ out: UnsafeMutablePointer<Float>, stride: Int) {
    let lanes = Lanes.scalarCount
    out.store(a0)
    (out + lanes).store(a1)
    (out + stride).store(b0)
    (out + stride + lanes).store(b1)
    (out + 2 * stride).store(c0)
    (out + 2 * stride + lanes).store(c1)
    (out + 3 * stride).store(d0)
    (out + 3 * stride + lanes).store(d1)
  }

  @inline(__always)
  func add(to out: UnsafeMutablePointer<Float>, stride: Int) {
    var sum = self
    let lanes = Lanes.scalarCount
    let x = UnsafePointer(out)
    sum.a0 += x.vector(Lanes.self)
    sum.a1 += (x + lanes).vector(Lanes.self)
    sum.b0 += (x + stride).vector(Lanes.self)
    sum.b1 += (x + stride + lanes).vector(Lanes.self)
    sum.c0 += (x + 2 * stride).vector(Lanes.self)
    sum.c1 += (x + 2 * stride + lanes).vector(Lanes.self)
    sum.d0 += (x + 3 * stride).vector(Lanes.self)
    sum.d1 += (x + 3 * stride + lanes).vector(Lanes.self)
    sum.store(out, stride: stride)
  }
}

/// `out[p] = a[p] b[p]` for `points` matrices `a` [rows, depth] and `b` [depth, columns].
///
/// - Parameters:
///   - aStride, outStride: from one matrix to the next; those of `b` are contiguous.
public func multiplyPoints(
  _ a: UnsafePointer<Float>, aStride: Int, _ b: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>, outStride: Int, points: Int, rows: Int, depth: Int,
  columns: Int
) {
  let lanes = Lanes.scalarCount
  for point in 0..<points {
    for column in stride(from: 0, to: columns, by: productColumns) {
      let right = b + point * depth * columns + column
      for row in stride(from: 0, to: rows, by: productRows) {
        let left = a + point * aStride + row * depth
        var sums = FourRows()
        #if VQ_AVX512
          var rest = FourRows()
        #endif
        var y = right
        for i in 0..<depth {
          let (low, high) = (y.vector(Lanes.self), (y + lanes).vector(Lanes.self))
          sums.add(left + i, stride: depth, low, high)
          #if VQ_AVX512
            rest.add(left + 4 * depth + i, stride: depth, low, high)
          #endif
          y += columns
        }
        let target = out + point * outStride + row * columns + column
        sums.store(target, stride: columns)
        #if VQ_AVX512
          rest.store(target + 4 * columns, stride: columns)
        #endif
      }
    }
  }
}

/// `out[p] += a[p]^T b[p]` for `points` matrices `a` [depth, rows] and `b` [depth, columns].
///
/// - Parameters:
///   - aStride, bStride: from one matrix to the next; those of `out` are contiguous.
public func addTransposedProducts(
  _ a: UnsafePointer<Float>, aStride: Int, _ b: UnsafePointer<Float>, bStride: Int,
  _ out: UnsafeMutablePointer<Float>, points: Int, rows: Int, depth: Int, columns: Int
) {
  let lanes = Lanes.scalarCount
  for point in 0..<points {
    for column in stride(from: 0, to: columns, by: productColumns) {
      let right = b + point * bStride + column
      for row in stride(from: 0, to: rows, by: productRows) {
        var sums = FourRows()
        #if VQ_AVX512
          var rest = FourRows()
        #endif
        var (x, y) = (a + point * aStride + row, right)
        for _ in 0..<depth {
          let (low, high) = (y.vector(Lanes.self), (y + lanes).vector(Lanes.self))
          sums.add(x, stride: 1, low, high)
          #if VQ_AVX512
            rest.add(x + 4, stride: 1, low, high)
          #endif
          x += rows
          y += columns
        }
        let target = out + (point * rows + row) * columns + column
        sums.add(to: target, stride: columns)
        #if VQ_AVX512
          rest.add(to: target + 4 * columns, stride: columns)
        #endif
      }
    }
  }
}
