import CPlatform

/// Scores `X . E + start` of the codes of one tile for one point.
///
/// - Parameters:
///   - x: X, [d].
///   - tile: E, [d, tileCodes], and readable for one vector more.
///   - starts: [tileCodes], and readable for one vector.
@inline(__always)
func tileScores(
  _ x: UnsafePointer<Float>, _ tile: UnsafePointer<Float>, _ starts: UnsafePointer<Float>,
  width d: Int
) -> CodeLanes {
  var sums = (
    starts.vector(CodeLanes.self), CodeLanes(), CodeLanes(), CodeLanes()
  )
  var code = tile
  var i = 0
  while i + 4 <= d {
    sums.0.add(CodeLanes(repeating: x[i]), times: code.vector(CodeLanes.self))
    sums.1.add(
      CodeLanes(repeating: x[i + 1]), times: (code + tileCodes).vector(CodeLanes.self))
    sums.2.add(
      CodeLanes(repeating: x[i + 2]), times: (code + 2 * tileCodes).vector(CodeLanes.self))
    sums.3.add(
      CodeLanes(repeating: x[i + 3]), times: (code + 3 * tileCodes).vector(CodeLanes.self))
    code += 4 * tileCodes
    i += 4
  }
  while i < d {
    sums.0.add(CodeLanes(repeating: x[i]), times: code.vector(CodeLanes.self))
    code += tileCodes
    i += 1
  }
  return (sums.0 + sums.1) + (sums.2 + sums.3)
}

/// The code that alone is within `margin` of the highest score of a tile; -1 where others are too.
@inline(__always)
private func singleLargest(_ scores: CodeLanes, _ margin: Float) -> Int32 {
  #if VQ_AVX512
    vq_single_largest16(
      scores, SIMD16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), Float(tileCodes), margin
    )
  #else
    vq_single_largest8(scores, SIMD8(0, 1, 2, 3, 4, 5, 6, 7), Float(tileCodes), margin)
  #endif
}

/// `out[j]` = the score of code j of the tile, [tileCodes].
public func scoreTile(
  _ x: UnsafePointer<Float>, _ tile: UnsafePointer<Float>, _ starts: UnsafePointer<Float>,
  width d: Int, _ out: UnsafeMutablePointer<Float>
) {
  let scores = tileScores(x, tile, starts, width: d)
  for j in 0..<tileCodes { out[j] = scores[j] }
}

/// The code of the highest score for each point that one tile holds; -1 for a point with several
/// tiles, or with a second code within its margin.
///
/// - Parameters:
///   - points: X, [count, d].
///   - tiles: E, [_, d, tileCodes].
///   - starts: [_, tileCodes].
///   - last, hits: what `selectTiles` gave.
///   - margins: [count].
///   - codes: out, [count].
public func decideCodes(
  _ points: UnsafePointer<Float>, count: Int, _ tiles: UnsafePointer<Float>,
  _ starts: UnsafePointer<Float>, width d: Int, _ last: UnsafePointer<Int32>,
  _ hits: UnsafePointer<Int32>, _ margins: UnsafePointer<Float>,
  _ codes: UnsafeMutablePointer<Int32>
) {
  for r in 0..<count {
    guard hits[r] == 1 else {
      codes[r] = -1
      continue
    }
    let tile = Int(last[r])
    let scores = tileScores(
      points + r * d, tiles + tile * d * tileCodes, starts + tile * tileCodes, width: d)
    let place = singleLargest(scores, margins[r])
    codes[r] = place < 0 ? -1 : Int32(tile * tileCodes) + place
  }
}
