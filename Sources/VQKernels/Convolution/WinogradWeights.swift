import CPlatform

/// Times by which the weights of an output may exceed those that it sees with at the border of an
/// image, twice as many where that is a single tap: nine with even weights.
private let mostContrast: Float = 32
/// Weights, of equal size, that make up those of an output, at least: one alone may meet a small
/// element.
private let fewest: Float = 8
/// The largest sum of magnitudes whose points are finite.
private let largestSum: Float = 0x1p110

/// A vector of the taps of a filter.
private protocol TapVector: SIMD where Scalar == Float {
  static func larger(_ a: Self, _ b: Self) -> Self
}

extension SIMD8<Float>: TapVector {
  @inline(__always)
  static func larger(_ a: Self, _ b: Self) -> Self { vq_larger8(a, b) }
}

extension SIMD16<Float>: TapVector {
  @inline(__always)
  static func larger(_ a: Self, _ b: Self) -> Self { vq_larger16(a, b) }
}

extension SIMD32<Float>: TapVector {
  @inline(__always)
  static func larger(_ a: Self, _ b: Self) -> Self {
    Self(
      lowHalf: vq_larger16(a.lowHalf, b.lowHalf), highHalf: vq_larger16(a.highHalf, b.highHalf))
  }
}

/// What the weights of a convolution are like. Magnitudes are sums over channels.
struct WinogradWeights {
  /// Magnitudes by input channel, the largest 1, none below 2^-12: [inputs].
  let share: UnsafeMutablePointer<Float>
  /// The sum of magnitudes by which `share` was divided.
  private(set) var scale: Float = 0
  /// Whether every output is likely to see the largest weights.
  private(set) var areEven = true
  /// How much less than its share the least tap of an output has of all, at most: 1 where all are
  /// alike. What an output sees of a bright pixel may be so much less.
  private(set) var unevenness: Float = 1

  private let taps: Int

  /// - Parameters:
  ///   - weights: [outputs, inputs, taps], flipped [inputs, outputs, taps].
  ///   - share: room for [inputs].
  init(
    _ weights: UnsafePointer<Float>, _ tiles: any WinogradTiles, flipped: Bool,
    share: UnsafeMutablePointer<Float>
  ) {
    self.share = share
    taps = tiles.form.taps
    if taps <= 8 {
      measure(weights, tiles, flipped, SIMD8.self)
    } else if taps <= 16 {
      measure(weights, tiles, flipped, SIMD16.self)
    } else {
      measure(weights, tiles, flipped, SIMD32.self)
    }
    for i in 0..<tiles.inputs { scale = max(scale, share[i]) }
    for i in 0..<tiles.inputs { share[i] = scale > 0 ? max(share[i] / scale, 0x1p-12) : 1 }
  }

  /// With the taps of a filter, and some that do not count, in a vector.
  private mutating func measure<Taps: TapVector>(
    _ weights: UnsafePointer<Float>, _ tiles: any WinogradTiles, _ flipped: Bool, _: Taps.Type
  ) {
    let (inputs, outputs, leastTaps) = (tiles.inputs, tiles.outputs, tiles.leastTaps)
    let (rows, columns) = flipped ? (inputs, outputs) : (outputs, inputs)
    // The last filters, behind which there are no elements to read.
    let last = rows * columns - (Taps.scalarCount + taps - 1) / taps
    // Sums and largest by row, then by column of each part of the rows.
    let parts = max(1, min(8, rows * columns / 512))
    let partRows = (rows + parts - 1) / parts
    withUnsafeTemporaryAllocation(of: Taps.self, capacity: 2 * (rows + parts * columns)) {
      buffer in
      buffer.initialize(repeating: Taps())
      let rowSums = buffer.baseAddress!
      let rowLargest = rowSums + rows
      let columnSums = rowLargest + rows
      let columnLargest = columnSums + parts * columns
      let taps = taps
      parallelFor(parts, grain: 1) { range in
        for part in range {
          let (sums, largest) = (columnSums + part * columns, columnLargest + part * columns)
          for row in min(part * partRows, rows)..<min((part + 1) * partRows, rows) {
            var (sum, most) = (Taps(), Taps())
            for column in 0..<columns {
              let filter = row * columns + column
              let source = weights + taps * filter
              var values = Taps()
              if filter < last {
                values = UnsafeRawPointer(source).loadUnaligned(as: Taps.self)
              } else {
                for t in 0..<taps { values[t] = source[t] }
              }
              let sizes = Taps.larger(values, Taps() - values)
              sum += sizes
              sums[column] += sizes
              if flipped {
                largest[column] = Taps.larger(sizes, largest[column])
              } else {
                most = Taps.larger(sizes, most)
              }
            }
            (rowSums[row], rowLargest[row]) = (sum, most)
          }
        }
      }
      for part in 1..<max(parts, 1) {
        for column in 0..<columns {
          columnSums[column] += columnSums[part * columns + column]
          columnLargest[column] = Taps.larger(
            columnLargest[part * columns + column], columnLargest[column])
        }
      }
      let (inputSums, outputSums) = flipped ? (rowSums, columnSums) : (columnSums, rowSums)
      let outputLargest = flipped ? columnLargest : rowLargest
      for i in 0..<inputs { share[i] = total(inputSums[i]) }
      for o in 0..<outputs where areEven {
        let (sums, sum) = (outputSums[o], total(outputSums[o]))
        var (largest, least): (Float, Float) = (0, .infinity)
        for t in 0..<taps {
          largest = outputLargest[o][t] <= largest ? largest : outputLargest[o][t]
          least = min(least, sums[t])
        }
        // Where one is NaN, none of these holds.
        areEven = sum < largestSum && fewest * largest <= sum
        for seen in leastTaps where areEven {
          var part: Float = 0
          for t in seen { part += flipped ? sums[taps - 1 - t] : sums[t] }
          areEven = sum <= (seen.count == 1 ? 2 : 1) * mostContrast * part
        }
        unevenness = max(unevenness, sum > 0 ? sum / (Float(taps) * least) : 1)
      }
    }
  }

  @inline(__always)
  private func total<Taps: TapVector>(_ sums: Taps) -> Float {
    var total: Float = 0
    for t in 0..<taps { total += sums[t] }
    return total
  }
}
