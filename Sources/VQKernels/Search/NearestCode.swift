/// The first element of an input that is NaN or infinite, by flat index.
public enum NonFiniteInput: Equatable {
  case point(Int)
  case code(Int)
}

/// `codes[i] = argmin_j sum_l (x[i, l] - codebook[j, l])^2`, the sum taken in Float64 in index
/// order of the float32 inputs, the lowest index on equality. `x` is [n, d], `codebook` [k, d] with
/// `packed` made of it; k is at least 1.
///
/// The float32 product form (or the bfloat16 one) ranks the codes; where its margin is below the
/// bound of its error, the codes within the bound are ranked by the definition. So the answer
/// depends neither on chunks, nor on threads, nor on the instruction set.
///
/// - Returns: where an input is not finite; the outputs are then undefined.
public func nearestCode(
  _ x: UnsafePointer<Float>, count n: Int, _ codebook: UnsafePointer<Float>,
  _ packed: PackedCodebook, _ codes: UnsafeMutablePointer<Int32>
) -> NonFiniteInput? {
  findNearest(x, count: n, codebook, packed, codes)
}

/// The same of Float64 inputs.
public func nearestCode(
  _ x: UnsafePointer<Double>, count n: Int, _ codebook: UnsafePointer<Double>,
  _ packed: PackedCodebook, _ codes: UnsafeMutablePointer<Int32>
) -> NonFiniteInput? {
  findNearest(x, count: n, codebook, packed, codes)
}

func findNearest<Element: SearchElement>(
  _ x: UnsafePointer<Element>, count n: Int, _ codebook: UnsafePointer<Element>,
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
    parallelFor(n, grain: rows) { range, stop in
      var search = PanelSearch(packed, codebook, stop)
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
  _ = resolveWideRows(x, count: n, codebook, packed, codes)
  return nil
}

/// Gives the rows whose code is -1 the nearest of the whole codebook, which is packed where there
/// are any; returns them in order.
func resolveWideRows<Element: SearchElement>(
  _ x: UnsafePointer<Element>, count n: Int, _ codebook: UnsafePointer<Element>,
  _ packed: @autoclosure () -> PackedCodebook, _ codes: UnsafeMutablePointer<Int32>
) -> [Int] {
  if loopIsStopped() { return [] }
  let wide = (0..<n).filter { codes[$0] < 0 }
  if wide.isEmpty { return wide }
  let exact = packed().exact(codebook)
  let share = (wide.count - 1) / (4 * threadCount) / ExactCodebook.rows + 1
  parallelFor(wide.count, grain: ExactCodebook.rows * min(share, 16)) { range, stop in
    exact.findNearest(x, rows: wide[range], codes, stop)
  }
  return wide
}

/// `out[i] = sum_l (x[i, l] - codebook[codes[i], l])^2`, summed in Float64 in index order.
///
/// For Float64 inputs in Float64, else rounded to float32.
public func squaredDistancesToCodes(
  _ x: UnsafePointer<Double>, count n: Int, _ codebook: UnsafePointer<Double>, width d: Int,
  _ codes: UnsafePointer<Int32>, _ out: UnsafeMutablePointer<Double>
) {
  parallelFor(n, grain: max(1, elementGrain / max(d, 1))) { range in
    for row in range {
      out[row] = squaredDistance(x + row * d, codebook + Int(codes[row]) * d, width: d)
    }
  }
}

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
