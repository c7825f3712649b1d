/// The values `offset + step q` for whole q in `lowest...highest`.
public struct StepGrid: Sendable {
  let step: Float
  let offset: Float
  let lowest: Float
  let highest: Float

  /// - Parameters:
  ///   - step: positive.
  ///   - lowest, highest: whole, of magnitudes up to 2^22.
  public init(step: Float, offset: Float = 0, lowest: Float, highest: Float) {
    self.step = step
    self.offset = offset
    self.lowest = lowest
    self.highest = highest
  }

  @inline(__always)
  fileprivate func place(_ x: Float) -> Float { (x - offset) / step }

  @inline(__always)
  fileprivate func clipped(_ place: Float) -> Float {
    place < lowest ? lowest : (place > highest ? highest : place)
  }
}

/// The nearest whole number of a magnitude up to 2^22, halves to even.
@inline(__always)
private func rounded(_ x: Float) -> Float {
  // Adding 1.5 * 2^23 leaves the nearest integer.
  (x + 12_582_912) - 12_582_912
}

/// `out[i] = offset + step q`, `q = round(clip((x[i] - offset) / step))`.
public func quantizeSteps(
  _ x: UnsafePointer<Float>, _ grid: StepGrid, _ out: UnsafeMutablePointer<Float>, count: Int
) {
  parallelFor(count, grain: elementGrain) { range in
    quantizeStepsRow(x + range.lowerBound, grid, out + range.lowerBound, range.count)
  }
}

private func quantizeStepsRow(
  _ x: UnsafePointer<Float>, _ grid: StepGrid, _ out: UnsafeMutablePointer<Float>, _ count: Int
) {
  for i in 0..<count {
    out[i] = rounded(grid.clipped(grid.place(x[i]))) * grid.step + grid.offset
  }
}

/// The straight-through gradient of `quantizeSteps`. With `v = (x[i] - offset) / step`, for
/// `lowest < v < highest`: `out[i] = g[i]`, and g[i] times `round(v) - v` for the step; elsewhere
/// 0, g[i] times the end of the grid for the step, and g[i] for the offset.
///
/// - Returns: the sums over all elements of what step and offset get.
public func quantizeStepsGradient(
  _ x: UnsafePointer<Float>, _ g: UnsafePointer<Float>, _ grid: StepGrid,
  _ out: UnsafeMutablePointer<Float>, count: Int
) -> (step: Double, offset: Double) {
  let chunks = max(1, (count + elementGrain - 1) / elementGrain)
  return withUnsafeTemporaryAllocation(of: SIMD2<Double>.self, capacity: chunks) { partial in
    parallelFor(count, grain: elementGrain) { range in
      withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * tile) { tiles in
        let (inStep, inOffset) = (tiles.baseAddress!, tiles.baseAddress! + tile)
        var total = SIMD2<Double>.zero
        for start in stride(from: range.lowerBound, to: range.upperBound, by: tile) {
          let length = min(tile, range.upperBound - start)
          quantizeStepsGradientTile(
            x + start, g + start, grid, out + start, inStep, inOffset, length)
          total += SIMD2(rowSum(inStep, length), rowSum(inOffset, length))
        }
        partial[range.lowerBound / elementGrain] = total
      }
    }
    var total = SIMD2<Double>.zero
    for chunk in 0..<(count == 0 ? 0 : chunks) { total += partial[chunk] }
    return (total[0], total[1])
  }
}

private let tile = 512

private func quantizeStepsGradientTile(
  _ x: UnsafePointer<Float>, _ g: UnsafePointer<Float>, _ grid: StepGrid,
  _ out: UnsafeMutablePointer<Float>, _ inStep: UnsafeMutablePointer<Float>,
  _ inOffset: UnsafeMutablePointer<Float>, _ count: Int
) {
  let (lowest, highest) = (grid.lowest, grid.highest)
  // Loads before choices, and one comparison a choice: the loop has no branches then.
  for i in 0..<count {
    let gradient = g[i]
    let place = grid.place(x[i])
    let clipped = grid.clipped(place)
    let error = rounded(clipped) - clipped
    let factor = place > lowest ? error : clipped
    let passed = place > lowest ? gradient : 0
    let below = place > lowest ? 0 : gradient
    out[i] = place < highest ? passed : 0
    inStep[i] = gradient * (place < highest ? factor : clipped)
    inOffset[i] = place < highest ? below : gradient
  }
}

/// The gradient of a clip to `0...bound`: `out[i] = g[i]` for `0 <= x[i] < bound`, else 0.
///
/// - Returns: what the bound gets, the sum of g[i] where `x[i] >= bound`.
public func clipGradient(
  _ x: UnsafePointer<Float>, _ g: UnsafePointer<Float>, bound: Float,
  _ out: UnsafeMutablePointer<Float>, count: Int
) -> Double {
  chunkedSum(count, grain: elementGrain) { range in
    withUnsafeTemporaryAllocation(of: Float.self, capacity: tile) { beyond in
      let beyond = beyond.baseAddress!
      var total = 0.0
      for start in stride(from: range.lowerBound, to: range.upperBound, by: tile) {
        let length = min(tile, range.upperBound - start)
        clipGradientTile(x + start, g + start, bound, out + start, beyond, length)
        total += rowSum(beyond, length)
      }
      return total
    }
  }
}

private func clipGradientTile(
  _ x: UnsafePointer<Float>, _ g: UnsafePointer<Float>, _ bound: Float,
  _ out: UnsafeMutablePointer<Float>, _ beyond: UnsafeMutablePointer<Float>, _ count: Int
) {
  for i in 0..<count {
    let (value, gradient) = (x[i], g[i])
    let passed = value >= 0 ? gradient : 0
    out[i] = value < bound ? passed : 0
    beyond[i] = value < bound ? 0 : gradient
  }
}
