/// The rows of a matrix in consecutive segments, each cut in chunks of a fixed number of rows, so
/// that sums over a segment do not depend on the threads.
public struct RowSegments {
  /// Where each segment begins, then the number of rows.
  public let offsets: [Int]
  public let width: Int
  private let chunks: [(segment: Int, rows: Range<Int>)]
  private let firstChunks: [Int]  // of each segment, then the number of chunks

  public var count: Int { offsets.count - 1 }

  public init(offsets: [Int], width: Int) {
    self.offsets = offsets
    self.width = width
    let step = rowGrain(width)
    var chunks: [(segment: Int, rows: Range<Int>)] = []
    var firstChunks: [Int] = []
    for segment in 0..<offsets.count - 1 {
      firstChunks.append(chunks.count)
      let end = offsets[segment + 1]
      for start in stride(from: offsets[segment], to: end, by: step) {
        chunks.append((segment, start..<min(start + step, end)))
      }
    }
    self.chunks = chunks
    self.firstChunks = firstChunks + [chunks.count]
  }

  /// Rows of segment `s`.
  func rows(_ s: Int) -> Int { offsets[s + 1] - offsets[s] }

  /// Calls `body` for every chunk.
  func forEachChunk(_ body: (_ segment: Int, _ rows: Range<Int>) -> Void) {
    chunks.withUnsafeBufferPointer { chunks in
      parallelFor(chunks.count, grain: grain) { range in
        for index in range { body(chunks[index].segment, chunks[index].rows) }
      }
    }
  }

  /// [count, sums]: for every segment the sum of what `add` adds for each of its chunks, in order.
  func sums(
    _ sums: Int,
    _ add: (_ segment: Int, _ rows: Range<Int>, _ into: UnsafeMutablePointer<Double>) -> Void
  ) -> [Double] {
    var partial = [Double](repeating: 0, count: chunks.count * sums)
    var totals = [Double](repeating: 0, count: count * sums)
    partial.withUnsafeMutableBufferPointer { partial in
      totals.withUnsafeMutableBufferPointer { totals in
        guard let partial = partial.baseAddress, let totals = totals.baseAddress else { return }
        chunks.withUnsafeBufferPointer { chunks in
          parallelFor(chunks.count, grain: grain) { range in
            for index in range {
              add(chunks[index].segment, chunks[index].rows, partial + index * sums)
            }
          }
        }
        firstChunks.withUnsafeBufferPointer { first in
          parallelFor(count, grain: max(1, elementGrain / max(sums, 1))) { range in
            for segment in range {
              for index in first[segment]..<first[segment + 1] {
                addSums(partial + index * sums, totals + segment * sums, count: sums)
              }
            }
          }
        }
      }
    }
    return totals
  }

  /// Chunks that one thread takes at a time.
  private var grain: Int {
    max(1, elementGrain * chunks.count / max((offsets.last ?? 0) * width, 1))
  }
}

/// Mean and biased variance of every column of `x` [n, d] in every segment, [segments, d]; 0 where
/// a segment is empty. Float64, the variance about the mean.
public func segmentMoments(
  _ x: UnsafePointer<Float>, _ segments: RowSegments
) -> (mean: [Double], variance: [Double]) {
  let d = segments.width
  func divided(_ sums: [Double]) -> [Double] {
    var sums = sums
    for segment in 0..<segments.count {
      let share = 1 / Double(max(segments.rows(segment), 1))
      for i in 0..<d { sums[segment * d + i] *= share }
    }
    return sums
  }
  let mean = divided(
    segments.sums(d) { _, rows, sums in
      for row in rows { addRow(x + row * d, sums, count: d) }
    })
  let variance = mean.withUnsafeBufferPointer { mean in
    divided(
      segments.sums(d) { segment, rows, sums in
        let center = mean.baseAddress! + segment * d
        for row in rows { addSquaredDeviations(x + row * d, center, sums, count: d) }
      })
  }
  return (mean, variance)
}

/// `out = (x - mean) factor` with mean and factor [segments, d] of the row's segment.
public func standardizeColumns(
  _ x: UnsafePointer<Float>, _ segments: RowSegments, mean: [Double], factor: [Double],
  _ out: UnsafeMutablePointer<Float>
) {
  let d = segments.width
  mean.withUnsafeBufferPointer { mean in
    factor.withUnsafeBufferPointer { factor in
      segments.forEachChunk { segment, rows in
        let (mean, factor) = (
          mean.baseAddress! + segment * d, factor.baseAddress! + segment * d
        )
        for row in rows { standardizeRow(x + row * d, mean, factor, out + row * d, count: d) }
      }
    }
  }
}

/// The pullback of `standardizeColumns` at its output `y`, when mean and factor are the segment's
/// own: `factor (g - mean(g) - y mean(g y))`.
public func standardizeColumnsPullback(
  _ gradient: UnsafePointer<Float>, _ y: UnsafePointer<Float>, _ segments: RowSegments,
  factor: [Double], _ out: UnsafeMutablePointer<Float>
) {
  let d = segments.width
  let sums = segments.sums(2 * d) { _, rows, sums in
    for row in rows { addWithProducts(gradient + row * d, y + row * d, sums, count: d) }
  }
  sums.withUnsafeBufferPointer { sums in
    factor.withUnsafeBufferPointer { factor in
      segments.forEachChunk { segment, rows in
        let share = 1 / Double(segments.rows(segment))
        let (sums, factor) = (
          sums.baseAddress! + 2 * segment * d, factor.baseAddress! + segment * d
        )
        for row in rows {
          standardizeRowPullback(
            gradient + row * d, y + row * d, sums, share, factor, out + row * d, count: d)
        }
      }
    }
  }
}

private func addSums(
  _ x: UnsafePointer<Double>, _ sums: UnsafeMutablePointer<Double>, count: Int
) {
  for i in 0..<count { sums[i] += x[i] }
}

private func addRow(
  _ x: UnsafePointer<Float>, _ sums: UnsafeMutablePointer<Double>, count: Int
) {
  for i in 0..<count { sums[i] += Double(x[i]) }
}

private func addSquaredDeviations(
  _ x: UnsafePointer<Float>, _ mean: UnsafePointer<Double>, _ sums: UnsafeMutablePointer<Double>,
  count: Int
) {
  for i in 0..<count {
    let deviation = Double(x[i]) - mean[i]
    sums[i] += deviation * deviation
  }
}

/// Adds g to the first `count` sums and g y to the others.
private func addWithProducts(
  _ g: UnsafePointer<Float>, _ y: UnsafePointer<Float>, _ sums: UnsafeMutablePointer<Double>,
  count: Int
) {
  for i in 0..<count { sums[i] += Double(g[i]) }
  for i in 0..<count { sums[count + i] += Double(g[i]) * Double(y[i]) }
}

private func standardizeRow(
  _ x: UnsafePointer<Float>, _ mean: UnsafePointer<Double>, _ factor: UnsafePointer<Double>,
  _ out: UnsafeMutablePointer<Float>, count: Int
) {
  for i in 0..<count { out[i] = Float((Double(x[i]) - mean[i]) * factor[i]) }
}

private func standardizeRowPullback(
  _ g: UnsafePointer<Float>, _ y: UnsafePointer<Float>, _ sums: UnsafePointer<Double>,
  _ share: Double, _ factor: UnsafePointer<Double>, _ out: UnsafeMutablePointer<Float>, count: Int
) {
  for i in 0..<count {
    let pull = (sums[i] + Double(y[i]) * sums[count + i]) * share
    out[i] = Float((Double(g[i]) - pull) * factor[i])
  }
}
