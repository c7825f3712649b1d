/// Element types of the points and codes of a search.
protocol SearchElement: BinaryFloatingPoint {
  /// `out` = the rows of `x` [count, d] less the center, times the scale; `squares[r]` = the
  /// squared length of row r, not finite where an element is not.
  static func center(
    _ x: UnsafePointer<Self>, count: Int, _ codebook: CenteredCodebook, _ kernels: TileKernels,
    _ out: UnsafeMutablePointer<Float>, _ squares: UnsafeMutablePointer<Float>)

  /// `out[j] = sum_i ((x[i] - codes[j, i]) scale)^2` of `codes` [count, d], summed in any order.
  static func directDistances(
    _ x: UnsafePointer<Self>, _ codes: UnsafePointer<Self>, count: Int, width: Int, scale: Self,
    _ kernels: TileKernels, _ out: UnsafeMutablePointer<Self>)
}

extension Float: SearchElement {
  @inline(__always)
  static func center(
    _ x: UnsafePointer<Float>, count: Int, _ codebook: CenteredCodebook, _ kernels: TileKernels,
    _ out: UnsafeMutablePointer<Float>, _ squares: UnsafeMutablePointer<Float>
  ) {
    kernels.centerRows(
      x, count, codebook.floatCenter, codebook.d, Float(codebook.scale), out, squares)
  }

  @inline(__always)
  static func directDistances(
    _ x: UnsafePointer<Float>, _ codes: UnsafePointer<Float>, count: Int, width: Int, scale: Float,
    _ kernels: TileKernels, _ out: UnsafeMutablePointer<Float>
  ) {
    kernels.directFloats(x, codes, count, width, scale, out)
  }
}

extension Double: SearchElement {
  @inline(__always)
  static func center(
    _ x: UnsafePointer<Double>, count: Int, _ codebook: CenteredCodebook, _ kernels: TileKernels,
    _ out: UnsafeMutablePointer<Float>, _ squares: UnsafeMutablePointer<Float>
  ) {
    let d = codebook.d
    for r in 0..<count {
      codebook.center(x + r * d, out + r * d)
      squares[r] = squaredLength(out + r * d, count: d)
    }
  }

  @inline(__always)
  static func directDistances(
    _ x: UnsafePointer<Double>, _ codes: UnsafePointer<Double>, count: Int, width: Int,
    scale: Double, _ kernels: TileKernels, _ out: UnsafeMutablePointer<Double>
  ) {
    kernels.directDoubles(x, codes, count, width, scale, out)
  }
}
