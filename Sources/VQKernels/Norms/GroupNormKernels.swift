/// The sizes of a group normalization: samples of `positions` rows of `channels` columns, the
/// channels in `groups` of neighbors.
public struct GroupNormSizes {
  public let samples, positions, channels, groups: Int

  public init(samples: Int, positions: Int, channels: Int, groups: Int) {
    (self.samples, self.positions) = (samples, positions)
    (self.channels, self.groups) = (channels, groups)
  }

  var width: Int { channels / groups }
  /// Values that share their moments.
  var share: Double { Double(positions) * Double(width) }
  /// Positions whose sums are one thread's; fixed, so that the order of summation is.
  private var chunkRows: Int { min(positions, columnChunkRows(channels)) }
  var chunks: Int { (positions + chunkRows - 1) / chunkRows }

  /// Calls `body` with the number of every chunk, its sample and its rows among those of all.
  func forEachChunk(_ body: (_ number: Int, _ sample: Int, _ rows: Range<Int>) -> Void) {
    let grain = max(1, elementGrain / (chunkRows * channels))
    parallelFor(samples * chunks, grain: grain) { range in
      for number in range {
        let (sample, chunk) = number.quotientAndRemainder(dividingBy: chunks)
        let first = sample * positions + chunk * chunkRows
        let last = min(first + chunkRows, (sample + 1) * positions)
        body(number, sample, first..<last)
      }
    }
  }

  /// Positions of a chunk.
  func rows(of chunk: Int) -> Int { min(chunkRows, positions - chunk * chunkRows) }
}

/// Each value of a group in the place of its channels: `body(channels of the group)`.
private func spread(
  _ sizes: GroupNormSizes, _ out: UnsafeMutablePointer<Float>,
  _ body: (_ channels: Range<Int>) -> Double
) {
  for group in 0..<sizes.groups {
    let channels = group * sizes.width..<(group + 1) * sizes.width
    let value = Float(body(channels))
    for i in channels { out[i] = value }
  }
}

/// `y = (x - mean) r scale + shift` with the moments of each sample's groups; `moments`
/// [samples, 2, channels] gets mean and r = 1 / sqrt(variance + epsilon) of each channel's group.
public func groupNormalize(
  _ x: UnsafePointer<Float>, _ sizes: GroupNormSizes, epsilon: Float,
  scale: UnsafePointer<Float>, shift: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>,
  moments: UnsafeMutablePointer<Float>
) {
  let columns = sizes.channels
  let kernels = NormalizationKernels.usable
  let units = sizes.samples * sizes.chunks
  withUnsafeTemporaryAllocation(of: Float.self, capacity: sizes.samples * columns + 1) { factors in
    // [samples, chunks, 2, channels]
    withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * columns * units + 1) { partials in
      let (factors, partials) = (factors.baseAddress!, partials.baseAddress!)
      sizes.forEachChunk { number, _, rows in
        columnChunkMoments(
          x + rows.lowerBound * columns, rows: rows.count, columns: columns,
          partials + 2 * number * columns)
      }
      for sample in 0..<sizes.samples {
        let mean = moments + 2 * sample * columns
        let (r, factor) = (mean + columns, factors + sample * columns)
        join(partials + 2 * sample * sizes.chunks * columns, sizes, epsilon, mean: mean, r: r)
        for i in 0..<columns { factor[i] = r[i] * scale[i] }
      }
    }
    let factors = UnsafePointer(factors.baseAddress!)
    sizes.forEachChunk { _, sample, rows in
      let first = rows.lowerBound * columns
      kernels.normalizeRows(
        x + first, rows.count, columns, moments + 2 * sample * columns, factors + sample * columns,
        shift, false, out + first)
    }
  }
}

/// Mean and 1 / sqrt(variance + epsilon) of each group, in the place of its channels, from the
/// moments of a sample's chunks [chunks, 2, channels].
private func join(
  _ partials: UnsafePointer<Double>, _ sizes: GroupNormSizes, _ epsilon: Float,
  mean: UnsafeMutablePointer<Float>, r: UnsafeMutablePointer<Float>
) {
  func sum(_ chunk: Int, _ channel: Int) -> Double {
    partials[2 * chunk * sizes.channels + channel]
  }
  for group in 0..<sizes.groups {
    let channels = group * sizes.width..<(group + 1) * sizes.width
    var (total, squares) = (0.0, 0.0)
    for chunk in 0..<sizes.chunks { for i in channels { total += sum(chunk, i) } }
    let center = total / sizes.share
    for chunk in 0..<sizes.chunks {
      let count = Double(sizes.rows(of: chunk))
      for i in channels {
        let offset = sum(chunk, i) / count - center
        squares += partials[(2 * chunk + 1) * sizes.channels + i] + count * offset * offset
      }
    }
    let factor = 1 / (squares / sizes.share + Double(epsilon)).squareRoot()
    for i in channels { (mean[i], r[i]) = (Float(center), Float(factor)) }
  }
}

/// The gradients of `groupNormalize`: of the input where `out` is given, of scale and shift into
/// `parameters` [2, channels].
public func groupNormalizationGradient(
  _ gradient: UnsafePointer<Float>, _ x: UnsafePointer<Float>, _ sizes: GroupNormSizes,
  scale: UnsafePointer<Float>, moments: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>?,
  parameters: UnsafeMutablePointer<Float>
) {
  let (columns, chunks) = (sizes.channels, sizes.chunks)
  let kernels = NormalizationKernels.usable
  // Of each chunk, then of each sample, sums of g and of g (x - mean): [samples, chunks, 2,
  // channels].
  let count = 2 * columns * sizes.samples * chunks
  withUnsafeTemporaryAllocation(of: Double.self, capacity: count + 1) { all in
    let all = all.baseAddress!
    sizes.forEachChunk { number, sample, rows in
      let first = rows.lowerBound * columns
      let mean = moments + 2 * sample * columns
      columnTotals(rows: rows.count, size: 2 * columns, all + 2 * number * columns) {
        kernels.addGradientProducts(
          gradient + first + $0 * columns, x + first + $0 * columns, $1, columns, mean, mean, mean,
          false, $2)
      }
    }
    for sample in 0..<sizes.samples {
      let totals = all + 2 * sample * chunks * columns
      for chunk in 1..<max(chunks, 1) {
        for i in 0..<2 * columns { totals[i] += totals[2 * chunk * columns + i] }
      }
    }
    func totals(_ sample: Int) -> UnsafePointer<Double> {
      UnsafePointer(all + 2 * sample * chunks * columns)
    }
    for i in 0..<columns {
      var (sum, product) = (0.0, 0.0)
      for sample in 0..<sizes.samples {
        sum += totals(sample)[i]
        product += totals(sample)[columns + i] * Double(moments[(2 * sample + 1) * columns + i])
      }
      parameters[i] = Float(product)
      parameters[columns + i] = Float(sum)
    }
    guard let out else { return }
    pull(gradient, x, sizes, scale: scale, moments: moments, totals, out)
  }
}

/// The gradient of the input from the `totals` [2, channels] of each sample.
private func pull(
  _ gradient: UnsafePointer<Float>, _ x: UnsafePointer<Float>, _ sizes: GroupNormSizes,
  scale: UnsafePointer<Float>, moments: UnsafePointer<Float>,
  _ totals: (_ sample: Int) -> UnsafePointer<Double>, _ out: UnsafeMutablePointer<Float>
) {
  let columns = sizes.channels
  let kernel = LayerNormKernels.usable.pullGroupRows
  // Factor, level and slope of each sample's channels.
  withUnsafeTemporaryAllocation(of: Float.self, capacity: 3 * columns * sizes.samples + 1) { all in
    let all = all.baseAddress!
    for sample in 0..<sizes.samples {
      let factor = all + 3 * sample * columns
      let (r, sums) = (moments + (2 * sample + 1) * columns, totals(sample))
      for i in 0..<columns { factor[i] = r[i] * scale[i] }
      spread(sizes, factor + columns) { channels in
        channels.reduce(0.0) { $0 + sums[$1] * Double(factor[$1]) } / sizes.share
      }
      spread(sizes, factor + 2 * columns) { channels in
        channels.reduce(0.0) {
          $0 + sums[columns + $1] * Double(factor[$1]) * Double(r[$1]) * Double(r[$1])
        } / sizes.share
      }
    }
    let factors = UnsafePointer(all)
    sizes.forEachChunk { _, sample, rows in
      let first = rows.lowerBound * columns
      let factor = factors + 3 * sample * columns
      kernel(
        gradient + first, x + first, rows.count, columns, moments + 2 * sample * columns, factor,
        factor + columns, factor + 2 * columns, out + first)
    }
  }
}
