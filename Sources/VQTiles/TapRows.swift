// Products of convolutions: sums of six rows and two vectors of columns stay in registers.

/// Rows that the products with taps take at once.
public var tapRows: Int { 6 }

struct SixRows {
  private var a0, a1, b0, b1, c0, c1, d0, d1, e0, e1, f0, f1: Lanes

  @inline(__always)
  init() {
    (a0, a1, b0, b1) = (Lanes(), Lanes(), Lanes(), Lanes())
    (c0, c1, d0, d1) = (Lanes(), Lanes(), Lanes(), Lanes())
    (e0, e1, f0, f1) = (Lanes(), Lanes(), Lanes(), Lanes())
  }

  /// Adds the products of a number of each row and a row of two vectors.
  @inline(__always)
  mutating func add(
    _ a: Float, _ b: Float, _ c: Float, _ d: Float, _ e: Float, _ f: Float,
    _ row: UnsafePointer<Float>
  ) {
    let (low, high) = (row.vector(Lanes.self), (row + Lanes.scalarCount).vector(Lanes.self))
    let (a, b, c) = (Lanes(repeating: a), Lanes(repeating: b), Lanes(repeating: c))
    let (d, e, f) = (Lanes(repeating: d), Lanes(repeating: e), Lanes(repeating: f))
    a0.add(a, times: low)
    a1.add(a, times: high)
    b0.add(b, times: low)
    b1.add(b, times: high)
    c0.add(c, times: low)
    c1.add(c, times: high)
    d0.add(d, times: low)
    d1.add(d, times: high)
    e0.add(e, times: low)
    e1.add(e, times: high)
    f0.add(f, times: low)
    f1.add(f, times: high)
  }

  @inline(__always)
  func store(_ out: UnsafeMutablePointer<Float>, stride: Int) {
    let lanes = Lanes.scalarCount
    @inline(__always)
    func store(_ row: Int, _ low: Lanes, _ high: Lanes) {
      (out + row * stride).store(low)
      (out + row * stride + lanes).store(high)
    }
    store(0, a0, a1)
    store(1, b0, b1)
    store(2, c0, c1)
    store(3, d0, d1)
    store(4, e0, e1)
    store(5, f0, f1)
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
    add(4, e0, e1)
    add(5, f0, f1)
  }
}

/// `out[r, c] += sum over t, i of rows[t, r][first + i] panel[t, i, c]`, r below `tapRows`, c below
/// `productColumns`, at least one tap of a depth of at least one.
///
/// - Parameters:
///   - rows: [taps, tapRows].
///   - panel: [taps, depth, productColumns].
///   - stride: from one row of `out` to the next.
public func addTapProducts(
  _ rows: UnsafePointer<UnsafePointer<Float>>, first: Int, taps: Int, depth: Int,
  _ panel: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, stride: Int
) {
  var sums = SixRows()
  var row = panel
  var tap = 0
  repeat {
    let x = rows + 6 * tap
    let (a, b, c) = (x[0] + first, x[1] + first, x[2] + first)
    let (d, e, f) = (x[3] + first, x[4] + first, x[5] + first)
    var i = 0
    repeat {
      sums.add(a[i], b[i], c[i], d[i], e[i], f[i], row)
      row += productColumns
      i += 1
    } while i < depth
    tap += 1
  } while tap < taps
  sums.add(to: out, stride: stride)
}

/// `out[r, c] += sum over p of g[p, r] x[p, c]`, r below `tapRows`, c below `productColumns`: p
/// goes over `runs` of `length`, both at least one.
///
/// - Parameters:
///   - g: [runs, length, tapRows].
///   - x: runs [length, productColumns], `step` apart.
///   - stride: from one row of `out` to the next.
public func addTapGradients(
  _ g: UnsafePointer<Float>, _ x: UnsafePointer<Float>, step: Int, runs: Int, length: Int,
  _ out: UnsafeMutablePointer<Float>, stride: Int
) {
  var sums = SixRows()
  var a = g
  var run = 0
  repeat {
    var row = x + run * step
    var place = 0
    repeat {
      sums.add(a[0], a[1], a[2], a[3], a[4], a[5], row)
      a += 6
      row += productColumns
      place += 1
    } while place < length
    run += 1
  } while run < runs
  sums.add(to: out, stride: stride)
}
