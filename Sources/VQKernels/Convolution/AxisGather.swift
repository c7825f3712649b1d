/// `out` [outer, sources.count, inner]: the rows of `x` [outer, size, inner] that `sources` names,
/// `filling` where it is negative.
public func gatherAlongAxis(
  _ x: UnsafePointer<Float>, outer: Int, size: Int, inner: Int, sources: [Int32], filling: Float,
  _ out: UnsafeMutablePointer<Float>
) {
  let length = sources.count
  parallelFor(outer * length, grain: max(1, elementGrain / max(inner, 1))) { rows in
    for row in rows {
      let (block, place) = row.quotientAndRemainder(dividingBy: length)
      let (target, source) = (out + row * inner, Int(sources[place]))
      if source < 0 {
        target.update(repeating: filling, count: inner)
      } else {
        target.update(from: x + (block * size + source) * inner, count: inner)
      }
    }
  }
}

/// The transpose of `gatherAlongAxis`: adds the rows of `g` to those of `out`, which holds zeros,
/// in order.
public func scatterAlongAxis(
  _ g: UnsafePointer<Float>, outer: Int, size: Int, inner: Int, sources: [Int32],
  _ out: UnsafeMutablePointer<Float>
) {
  let length = sources.count
  parallelFor(outer, grain: max(1, elementGrain / max(length * inner, 1))) { blocks in
    for block in blocks {
      for place in 0..<length where sources[place] >= 0 {
        addElements(
          g + (block * length + place) * inner,
          out + (block * size + Int(sources[place])) * inner, inner)
      }
    }
  }
}
