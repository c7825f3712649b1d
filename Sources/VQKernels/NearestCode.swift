/// The first element of an input that is NaN or infinite, by flat index.
public enum NonFiniteInput: Equatable {
  case point(Int)
  case code(Int)
}

/// `codes[i] = argmin_j sum_l (x[i, l] - codebook[j, l])^2`, the sum taken in Float64 in index order of
/// the float32 inputs, the lowest index on equality. `x` is [n, d], `codebook` [k, d] with `packed` made of
/// it; k is at least 1.
///
/// The float32 product form (or the bfloat16 one) ranks the codes; where its margin is below the bound of
/// its error, the codes within the bound are ranked by the definition. So the answer depends neither on
/// chunks, nor on threads, nor on the instruction set.
///
/// - Returns: where an input is not finite; the outputs are then undefined.
public func nearestCode(
  _ x: UnsafePointer<Float>, count n: Int, _ codebook: UnsafePointer<Float>,
  _ packed: PackedCodebook, _ codes: UnsafeMutablePointer<Int32>
) -> NonFiniteInput? {
  let underflow = GradualUnderflow()
  defer { underflow.end() }
  if let index = packed.nonFinite { return .code(index) }
  if n == 0 { return nil }
  let (d, panel) = (packed.d, packed.kernels.panelPoints)
  let share = (n + 4 * threadCount - 1) / (4 * threadCount)
  let rows = (max(1, min(256, share, (1 << 17) / d)) + panel - 1) / panel * panel
  let chunks = (n + rows - 1) / rows
  var firstBad = [Int](repeating: n * d, count: chunks)
  firstBad.withUnsafeMutableBufferPointer { firstBad in
    parallelFor(n, grain: rows) { range in
      var search = PanelSearch(packed, codebook)
      defer { search.deallocate() }
      for first in stride(from: range.lowerBound, to: range.upperBound, by: panel) {
        let count = min(panel, range.upperBound - first)
        if let bad = search.find(x + first * d, count: count, codes + first) {
          firstBad[range.lowerBound / rows] = first * d + bad
          return
        }
      }
    }
  }
  if let bad = firstBad.min(), bad < n * d { return .point(bad) }
  resolveWideRows(x, count: n, codebook, packed, codes) { _ in }
  return nil
}

/// Gives the rows whose code is -1 the nearest of the whole codebook by the definition, and then calls
/// `finish` for each, in order.
func resolveWideRows(
  _ x: UnsafePointer<Float>, count n: Int, _ codebook: UnsafePointer<Float>,
  _ packed: PackedCodebook, _ codes: UnsafeMutablePointer<Int32>, _ finish: (_ row: Int) -> Void
) {
  let wide = (0..<n).filter { codes[$0] < 0 }
  if wide.isEmpty { return }
  let d = packed.d
  let exact = TransposedCodebook(codebook, codes: packed.k, width: d, packed.kernels)
  wide.withUnsafeBufferPointer { wide in
    parallelFor(wide.count, grain: 16) { range in
      for place in range {
        let row = wide[place]
        codes[row] = exact.nearest(x + row * d)
      }
    }
  }
  wide.forEach(finish)
}

/// `out[i] = sum_l (x[i, l] - codebook[codes[i], l])^2`, summed in Float64 in index order.
public func squaredDistancesToCodes(
  _ x: UnsafePointer<Float>, count n: Int, _ codebook: UnsafePointer<Float>, width d: Int,
  _ codes: UnsafePointer<Int32>, _ out: UnsafeMutablePointer<Float>
) {
  let underflow = GradualUnderflow()
  defer { underflow.end() }
  parallelFor(n, grain: max(4, elementGrain / max(d, 1) / 4 * 4)) { range in
    var row = range.lowerBound
    while row + 4 <= range.upperBound {
      fourSquaredDistances(x + row * d, codebook, codes + row, width: d, out + row)
      row += 4
    }
    while row < range.upperBound {
      out[row] = Float(squaredDistance(x + row * d, codebook + Int(codes[row]) * d, width: d))
      row += 1
    }
  }
}

/// Four sums at a time: each alone waits for its own additions.
@inline(__always)
private func fourSquaredDistances(
  _ x: UnsafePointer<Float>, _ codebook: UnsafePointer<Float>, _ codes: UnsafePointer<Int32>,
  width d: Int, _ out: UnsafeMutablePointer<Float>
) {
  let (a, b) = (codebook + Int(codes[0]) * d, codebook + Int(codes[1]) * d)
  let (c, e) = (codebook + Int(codes[2]) * d, codebook + Int(codes[3]) * d)
  var sums = (0.0, 0.0, 0.0, 0.0)
  for i in 0..<d {
    let first = Double(x[i]) - Double(a[i])
    let second = Double(x[d + i]) - Double(b[i])
    let third = Double(x[2 * d + i]) - Double(c[i])
    let fourth = Double(x[3 * d + i]) - Double(e[i])
    sums.0 += first * first
    sums.1 += second * second
    sums.2 += third * third
    sums.3 += fourth * fourth
  }
  (out[0], out[1], out[2], out[3]) = (
    Float(sums.0), Float(sums.1), Float(sums.2), Float(sums.3)
  )
}
