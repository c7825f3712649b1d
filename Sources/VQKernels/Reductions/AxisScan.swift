/// What a scan accumulates along an axis.
public enum ScanKernel { case sum, product }

/// Calls `body` with the offset and width of blocks of columns of [outer, length, inner]: element l
/// of column i stands at `offset + l * inner + i`.
@inline(__always)
private func forEachColumnBlock(
  outer: Int, length: Int, inner: Int, _ body: (_ offset: Int, _ width: Int, LoopStop) -> Void
) {
  if length == 0 { return }
  let most = 64
  let blocks = (inner + most - 1) / most
  let grain = max(1, elementGrain / max(length * min(inner, most), 1))
  parallelFor(outer * blocks, grain: grain) { range, stop in
    for unit in range {
      let (o, block) = unit.quotientAndRemainder(dividingBy: blocks)
      body(o * length * inner + block * most, min(most, inner - block * most), stop)
    }
  }
}

/// `out[o, l, i]`, the sum or product of `x[o, 0...l, i]` in Float64; of `x[o, l..., i]` where
/// it is `reversed`.
public func scan(
  _ kernel: ScanKernel, _ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>,
  outer: Int, length: Int, inner: Int, reversed: Bool = false
) {
  forEachColumnBlock(outer: outer, length: length, inner: inner) { offset, width, stop in
    withUnsafeTemporaryAllocation(of: Double.self, capacity: width) { totals in
      totals.initialize(repeating: kernel == .sum ? 0 : 1)
      for l in 0..<length {
        if l & 0xffff == 0xffff && stop.isRequested { return }
        let row = offset + (reversed ? length - 1 - l : l) * inner
        for i in 0..<width {
          let element = Double(x[row + i])
          totals[i] = kernel == .sum ? totals[i] + element : totals[i] * element
          out[row + i] = Float(totals[i])
        }
      }
    }
  }
}

/// The same of integers; the position of the first result that int32 does not hold, or nil.
public func integerScan(
  _ kernel: ScanKernel, _ x: UnsafePointer<Int32>, _ out: UnsafeMutablePointer<Int32>, outer: Int,
  length: Int, inner: Int
) -> Int? {
  for o in 0..<outer {
    for i in 0..<inner {
      var total = kernel == .sum ? 0 : 1
      for l in 0..<length {
        let position = (o * length + l) * inner + i
        let element = Int(x[position])
        total = kernel == .sum ? total + element : total * element
        guard let held = Int32(exactly: total) else { return position }
        out[position] = held
      }
    }
  }
  return nil
}

/// The gradient of running products: with the products P before each element and
/// `S[l] = g[l] + x[l + 1] S[l + 1]`, `out[l] = P[l] S[l]`, which divides by no zero.
///
/// - Parameters:
///   - g: [outer, length, inner].
///   - scratch: as many Float64.
public func scannedProductGradient(
  _ x: UnsafePointer<Float>, _ g: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>,
  _ scratch: UnsafeMutablePointer<Double>, outer: Int, length: Int, inner: Int
) {
  forEachColumnBlock(outer: outer, length: length, inner: inner) { offset, width, stop in
    for l in stride(from: length - 1, through: 0, by: -1) {
      if l & 0xffff == 0xffff && stop.isRequested { return }
      let row = offset + l * inner
      for i in 0..<width {
        let later = l + 1 < length ? Double(x[row + inner + i]) * scratch[row + inner + i] : 0
        scratch[row + i] = Double(g[row + i]) + later
      }
    }
    multiplyByProductsBefore(x, scratch, out, offset, width, length: length, inner: inner)
  }
}

/// The product of each row of `x` [rows, columns], in Float64.
public func rowProducts(
  _ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, rows: Int, columns: Int
) {
  parallelFor(rows, grain: max(1, elementGrain / max(columns, 1))) { range in
    for row in range {
      var product = 1.0
      for i in row * columns..<(row + 1) * columns { product *= Double(x[i]) }
      out[row] = Float(product)
    }
  }
}

/// The gradient of row products, `g` [rows] times the product of all others of the row.
///
/// - Parameter scratch: [rows, columns].
public func rowProductsGradient(
  _ x: UnsafePointer<Float>, _ g: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>,
  _ scratch: UnsafeMutablePointer<Double>, rows: Int, columns: Int
) {
  parallelFor(rows, grain: max(1, elementGrain / max(columns, 1))) { range in
    for row in range {
      let start = row * columns
      var later = Double(g[row])
      for i in stride(from: start + columns - 1, through: start, by: -1) {
        scratch[i] = later
        later *= Double(x[i])
      }
      multiplyByProductsBefore(x, scratch, out, start, 1, length: columns, inner: 1)
    }
  }
}

/// `out[l] = x[0] ... x[l - 1] factor[l]` of a block of columns.
@inline(__always)
private func multiplyByProductsBefore(
  _ x: UnsafePointer<Float>, _ factor: UnsafePointer<Double>, _ out: UnsafeMutablePointer<Float>,
  _ offset: Int, _ width: Int, length: Int, inner: Int
) {
  withUnsafeTemporaryAllocation(of: Double.self, capacity: width) { before in
    before.initialize(repeating: 1)
    for l in 0..<length {
      let row = offset + l * inner
      for i in 0..<width {
        out[row + i] = Float(before[i] * factor[row + i])
        before[i] *= Double(x[row + i])
      }
    }
  }
}
