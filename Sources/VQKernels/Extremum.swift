/// The largest (or smallest) of `x[o, l, i]` over l, and the lowest l that attains it. NaN wins over
/// every number. `length` is at least 1; `indices` may be nil.
public func extremumAxis(
  largest: Bool, _ x: UnsafePointer<Float>, _ values: UnsafeMutablePointer<Float>,
  _ indices: UnsafeMutablePointer<Int32>?, outer: Int, length: Int, inner: Int
) {
  if largest {
    extremum(x, values, indices, outer, length, inner, vector: { $0 .> $1 }) { $0 > $1 }
  } else {
    extremum(x, values, indices, outer, length, inner, vector: { $0 .< $1 }) { $0 < $1 }
  }
}

@inline(__always)
private func extremum(
  _ x: UnsafePointer<Float>, _ values: UnsafeMutablePointer<Float>,
  _ indices: UnsafeMutablePointer<Int32>?, _ outer: Int, _ length: Int, _ inner: Int,
  vector: (SIMD16<Float>, SIMD16<Float>) -> SIMDMask<SIMD16<Int32>>,
  _ better: (Float, Float) -> Bool
) {
  if inner == 1 {
    parallelFor(outer, grain: max(1, elementGrain / length)) { range in
      for o in range {
        let row = x + o * length
        let best = rowExtremum(row, length, vector: vector, better)
        values[o] = best
        guard let indices else { continue }
        var index = 0
        while row[index] != best && row[index] == row[index] { index += 1 }
        indices[o] = Int32(truncatingIfNeeded: index)
      }
    }
    return
  }
  let width = 1024
  let blocks = (inner + width - 1) / width
  parallelFor(outer * blocks, grain: max(1, elementGrain / (length * min(inner, width)))) { range in
    for unit in range {
      let (o, start) = (unit / blocks, unit % blocks * width)
      let count = min(width, inner - start)
      let best = values + o * inner + start
      best.update(from: x + o * length * inner + start, count: count)
      indices.map { ($0 + o * inner + start).update(repeating: 0, count: count) }
      for l in 1..<max(length, 1) {
        let row = x + (o * length + l) * inner + start
        if let index = indices.map({ $0 + o * inner + start }) {
          let position = Int32(truncatingIfNeeded: l)
          for i in 0..<count {
            let wins = better(row[i], best[i]) || (row[i] != row[i] && best[i] == best[i])
            best[i] = wins ? row[i] : best[i]
            index[i] = wins ? position : index[i]
          }
        } else {
          for i in 0..<count {
            best[i] = better(row[i], best[i]) || row[i] != row[i] ? row[i] : best[i]
          }
        }
      }
    }
  }
}

@inline(__always)
private func rowExtremum(
  _ row: UnsafePointer<Float>, _ count: Int,
  vector: (SIMD16<Float>, SIMD16<Float>) -> SIMDMask<SIMD16<Int32>>,
  _ better: (Float, Float) -> Bool
) -> Float {
  var best = row[0]
  var i = 0
  if count >= 16 {
    var wide = load16(row)
    i = 16
    while i + 16 <= count {
      let next = load16(row + i)
      wide.replace(with: next, where: vector(next, wide) .| (next .!= next))
      i += 16
    }
    best = wide[0]
    for lane in 1..<16 {
      best = better(wide[lane], best) || wide[lane] != wide[lane] ? wide[lane] : best
    }
  }
  while i < count {
    best = better(row[i], best) || row[i] != row[i] ? row[i] : best
    i += 1
  }
  return best
}

/// The largest of `count` numbers, at least one; NaN if any is.
@inline(__always)
func rowMaximum(_ row: UnsafePointer<Float>, _ count: Int) -> Float {
  rowExtremum(row, count, vector: { $0 .> $1 }) { $0 > $1 }
}

/// `out[o, indices[o, i], i] = g[o, i]`, 0 elsewhere.
public func scatterExtrema(
  _ g: UnsafePointer<Float>, _ indices: UnsafePointer<Int32>, _ out: UnsafeMutablePointer<Float>,
  outer: Int, length: Int, inner: Int
) {
  parallelFor(outer, grain: max(1, elementGrain / max(length * inner, 1))) { range in
    for o in range {
      let target = out + o * length * inner
      target.update(repeating: 0, count: length * inner)
      for i in 0..<inner { target[Int(indices[o * inner + i]) * inner + i] = g[o * inner + i] }
    }
  }
}
