/// The sizes of a group normalization: samples of `positions` rows of `channels` columns, the
/// channels in `groups` of neighbors.
public struct GroupNormSizes {
  public let samples, positions, channels, groups: Int

  public init(samples: Int, positions: Int, channels: Int, groups: Int) {
    (self.samples, self.positions) = (samples, positions)
    (self.channels, self.groups) = (channels, groups)
  }

  var sampleSize: Int { positions * channels }
  var width: Int { channels / groups }
  /// Values that share their moments.
  var share: Double { Double(positions) * Double(width) }
  /// Samples that one thread takes at a time.
  var grain: Int { max(1, elementGrain / max(sampleSize, 1)) }
}

private let rowKernels = NormalizationKernels.usable
private let depth = 32

/// Adds columns [rows, columns] in float32 by 32 rows, then in Float64: `add` adds some rows to
/// sums [size].
private func columnTotals(
  rows: Int, size: Int, _ total: UnsafeMutablePointer<Double>,
  _ add: (_ start: Int, _ count: Int, UnsafeMutablePointer<Float>) -> Void
) {
  withUnsafeTemporaryAllocation(of: Float.self, capacity: size + 1) { scratch in
    let sums = scratch.baseAddress!
    total.update(repeating: 0, count: size)
    for start in stride(from: 0, to: rows, by: depth) {
      sums.update(repeating: 0, count: size)
      add(start, min(depth, rows - start), sums)
      for i in 0..<size { total[i] += Double(sums[i]) }
    }
  }
}

/// Each value of a group in the place of its channels: `body(total of the channels, group)`.
private func spread(
  _ sizes: GroupNormSizes, _ totals: UnsafePointer<Double>, _ out: UnsafeMutablePointer<Float>,
  _ body: (_ total: Double) -> Double
) {
  for group in 0..<sizes.groups {
    var total = 0.0
    for i in group * sizes.width..<(group + 1) * sizes.width { total += totals[i] }
    let value = Float(body(total))
    for i in group * sizes.width..<(group + 1) * sizes.width { out[i] = value }
  }
}

/// `y = (x - mean) r scale + shift` with the moments of each sample's groups; `moments`
/// [samples, 2, channels] gets mean and r = 1 / sqrt(variance + epsilon) of each channel's group.
public func groupNormalize(
  _ x: UnsafePointer<Float>, _ sizes: GroupNormSizes, epsilon: Float,
  scale: UnsafePointer<Float>, shift: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>,
  moments: UnsafeMutablePointer<Float>
) {
  let (rows, columns) = (sizes.positions, sizes.channels)
  parallelFor(sizes.samples, grain: sizes.grain) { range in
    withUnsafeTemporaryAllocation(of: Double.self, capacity: columns + 1) { totals in
      withUnsafeTemporaryAllocation(of: Float.self, capacity: columns + 1) { factors in
        let (totals, factor) = (totals.baseAddress!, factors.baseAddress!)
        for sample in range {
          let x = x + sample * sizes.sampleSize
          let mean = moments + 2 * sample * columns
          let r = mean + columns
          columnTotals(rows: rows, size: columns, totals) { start, count, sums in
            rowKernels.addRows(x + start * columns, count, columns, sums)
          }
          spread(sizes, totals, mean) { $0 / sizes.share }
          columnTotals(rows: rows, size: columns, totals) { start, count, sums in
            rowKernels.addSquares(x + start * columns, count, columns, mean, sums)
          }
          spread(sizes, totals, r) { 1 / ($0 / sizes.share + Double(epsilon)).squareRoot() }
          for i in 0..<columns { factor[i] = r[i] * scale[i] }
          rowKernels.normalizeRows(
            x, rows, columns, mean, factor, shift, false, out + sample * sizes.sampleSize)
        }
      }
    }
  }
}

/// The gradients of `groupNormalize`: of the input where `out` is given, of scale and shift into
/// `parameters` [2, channels].
public func groupNormalizationGradient(
  _ gradient: UnsafePointer<Float>, _ x: UnsafePointer<Float>, _ sizes: GroupNormSizes,
  scale: UnsafePointer<Float>, moments: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>?,
  parameters: UnsafeMutablePointer<Float>
) {
  let (rows, columns) = (sizes.positions, sizes.channels)
  let pull = LayerNormKernels.usable.pullGroupRows
  // Of each sample: sums of g and of g (x - mean), [samples, 2, channels].
  withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * columns * sizes.samples + 1) { all in
    let all = all.baseAddress!
    parallelFor(sizes.samples, grain: sizes.grain) { range in
      withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * columns + 1) { weighted in
        withUnsafeTemporaryAllocation(of: Float.self, capacity: 3 * columns + 1) { scratch in
          let weighted = weighted.baseAddress!
          let factor = scratch.baseAddress!
          let (level, slope) = (factor + columns, factor + 2 * columns)
          for sample in range {
            let offset = sample * sizes.sampleSize
            let mean = moments + 2 * sample * columns
            let r = mean + columns
            let totals = all + 2 * sample * columns
            for i in 0..<columns { factor[i] = r[i] * scale[i] }
            columnTotals(rows: rows, size: 2 * columns, totals) { start, count, sums in
              rowKernels.addGradientProducts(
                gradient + offset + start * columns, x + offset + start * columns, count, columns,
                mean, factor, factor, false, sums)
            }
            guard let out else { continue }
            for i in 0..<columns {
              weighted[i] = totals[i] * Double(factor[i])
              weighted[columns + i] =
                totals[columns + i] * Double(factor[i]) * Double(r[i]) * Double(r[i])
            }
            spread(sizes, weighted, level) { $0 / sizes.share }
            spread(sizes, weighted + columns, slope) { $0 / sizes.share }
            pull(
              gradient + offset, x + offset, rows, columns, mean, factor, level, slope,
              out + offset)
          }
        }
      }
    }
    for i in 0..<columns {
      var (sum, product) = (0.0, 0.0)
      for sample in 0..<sizes.samples {
        sum += all[2 * sample * columns + i]
        product +=
          all[(2 * sample + 1) * columns + i] * Double(moments[(2 * sample + 1) * columns + i])
      }
      parameters[i] = Float(product)
      parameters[columns + i] = Float(sum)
    }
  }
}
