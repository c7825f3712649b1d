/// A sparse matrix by rows: result r is the sum of `weights[i]` times element `sources[i]` over i
/// in `starts[r]..<starts[r + 1]`, in their order.
public struct SparseRows {
  public let count: Int
  let starts, sources: UnsafePointer<Int32>
  let weights: UnsafePointer<Float>

  public init(
    count: Int, starts: UnsafePointer<Int32>, sources: UnsafePointer<Int32>,
    weights: UnsafePointer<Float>
  ) {
    (self.count, self.starts, self.sources, self.weights) = (count, starts, sources, weights)
  }

  @inline(__always)
  func terms(_ row: Int) -> Range<Int> { Int(starts[row])..<Int(starts[row + 1]) }

  /// The element that a row is, where it is one.
  @inline(__always)
  func element(_ row: Int) -> Int? {
    let terms = terms(row)
    return terms.count == 1 && weights[terms.lowerBound] == 1
      ? Int(sources[terms.lowerBound]) : nil
  }
}

/// `out[n, y, x]` is the sum over i, j of `rows[y, i] columns[x, j]` times pixel (i, j) of image n:
/// `[images, height, width, channels]` to `[images, rows.count, columns.count, channels]`; nil
/// leaves an axis as it is.
///
/// - Parameters:
///   - scratch: [slots, width * channels], at least as many slots as threads or rows of the result.
public func resample(
  _ x: UnsafePointer<Float>, images: Int, height: Int, width: Int, channels: Int,
  rows: SparseRows?, columns: SparseRows?, scratch: UnsafeMutablePointer<Float>, slots: Int,
  _ out: UnsafeMutablePointer<Float>
) {
  let (outHeight, outWidth) = (rows?.count ?? height, columns?.count ?? width)
  let (line, outLine) = (width * channels, outWidth * channels)
  let buffers = ScratchSlots(scratch, count: slots, stride: line)
  let work = max(1, 2 * (line + outLine))
  parallelFor(images * outHeight, grain: max(1, elementGrain / work)) { range in
    buffers.borrow { buffer in
      for row in range {
        let (image, y) = row.quotientAndRemainder(dividingBy: outHeight)
        let (source, target) = (x + image * height * line, out + row * outLine)
        let element: Int? = if let rows { rows.element(y) } else { y }
        if let rows, let element, y > 0, row > range.lowerBound, rows.element(y - 1) == element {
          target.update(from: target - outLine, count: outLine)
          continue
        }
        guard let columns else {
          mix(rows, y, element, source, target, line)
          continue
        }
        if let element {
          combineColumns(source + element * line, columns, channels, target)
        } else {
          mix(rows, y, element, source, buffer, line)
          combineColumns(buffer, columns, channels, target)
        }
      }
    }
  }
}

/// Row y of the result, before its columns: that of an element, or a sum.
private func mix(
  _ rows: SparseRows?, _ y: Int, _ element: Int?, _ source: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>, _ count: Int
) {
  if let element {
    out.update(from: source + element * count, count: count)
  } else if let rows {
    combine(rows, rows.terms(y), source, out, count)
  }
}

private func combineColumns(
  _ row: UnsafePointer<Float>, _ columns: SparseRows, _ channels: Int,
  _ out: UnsafeMutablePointer<Float>
) {
  @inline(__always)
  func each(_ c: Int) {
    for x in 0..<columns.count { combine(columns, columns.terms(x), row, out + x * c, c) }
  }
  // Of few channels in loops of known length.
  switch channels {
  case 1: each(1)
  case 2: each(2)
  case 3: each(3)
  case 4: each(4)
  default: each(channels)
  }
}

/// The sum of vectors of `count` elements: term i is `weights[i]` times that at `sources[i]`.
@inline(__always)
private func combine(
  _ matrix: SparseRows, _ terms: Range<Int>, _ source: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>, _ count: Int
) {
  @inline(__always)
  func term(_ i: Int) -> (Float, UnsafePointer<Float>) {
    (matrix.weights[i], source + Int(matrix.sources[i]) * count)
  }
  var i = terms.lowerBound
  switch terms.count {
  case 0: for e in 0..<count { out[e] = 0 }
  case 1:
    let (u, a) = term(i)
    for e in 0..<count { out[e] = u * a[e] }
  case 3:
    let ((u, a), (v, b), (w, c)) = (term(i), term(i + 1), term(i + 2))
    for e in 0..<count { out[e] = u * a[e] + v * b[e] + w * c[e] }
  case 4:
    let ((u, a), (v, b), (w, c), (z, d)) = (term(i), term(i + 1), term(i + 2), term(i + 3))
    for e in 0..<count { out[e] = (u * a[e] + v * b[e]) + (w * c[e] + z * d[e]) }
  default:
    let ((u, a), (v, b)) = (term(i), term(i + 1))
    for e in 0..<count { out[e] = u * a[e] + v * b[e] }
    i += 2
    while i + 1 < terms.upperBound {
      let ((u, a), (v, b)) = (term(i), term(i + 1))
      for e in 0..<count { out[e] += u * a[e] + v * b[e] }
      i += 2
    }
    if i < terms.upperBound {
      let (u, a) = term(i)
      for e in 0..<count { out[e] += u * a[e] }
    }
  }
}
