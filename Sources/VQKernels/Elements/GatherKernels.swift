/// The position of the first code outside `0..<bound`, or nil.
public func firstOutside(_ codes: UnsafePointer<Int32>, count: Int, bound: Int) -> Int? {
  let bound = UInt32(clamping: min(bound, Int(Int32.max) + 1))
  // A negative code reads as a large unsigned number.
  var largest: UInt32 = 0
  for i in 0..<count {
    let code = UInt32(bitPattern: codes[i])
    largest = code > largest ? code : largest
  }
  if count == 0 || largest < bound { return nil }
  return (0..<count).first { UInt32(bitPattern: codes[$0]) >= bound }
}

/// `out[o, j] = x[o, codes[j]]`, rows of `columns`: x [outer, length, columns], out [outer, count,
/// columns].
public func gatherRows(
  _ x: UnsafePointer<Float>, _ codes: UnsafePointer<Int32>, _ out: UnsafeMutablePointer<Float>,
  outer: Int = 1, length: Int = 0, count: Int, columns: Int
) {
  if columns == 0 { return }
  parallelFor(outer * count, grain: max(1, elementGrain / columns)) { range in
    var (o, j) = range.lowerBound.quotientAndRemainder(dividingBy: count)
    for row in range {
      let source = x + (o * length + Int(codes[j])) * columns
      if columns == 1 {
        out[row] = source[0]
      } else {
        (out + row * columns).update(from: source, count: columns)
      }
      j += 1
      if j == count { (o, j) = (o + 1, 0) }
    }
  }
}

/// `out[j] = x[codes[j]]`, rows of `columns` halves.
public func gatherRows(
  _ x: UnsafePointer<UInt16>, _ codes: UnsafePointer<Int32>, _ out: UnsafeMutablePointer<UInt16>,
  count: Int, columns: Int
) {
  if columns == 0 { return }
  parallelFor(count, grain: max(1, elementGrain / columns)) {
    for row in $0 {
      (out + row * columns).update(from: x + Int(codes[row]) * columns, count: columns)
    }
  }
}

/// `out[o, codes[j]] += x[o, j]`, rows of `columns`, in the order of j for every row of `out`:
/// threads share outer slices and columns. x [outer, count, columns], out [outer, length, columns].
public func scatterAddRows(
  _ x: UnsafePointer<Float>, _ codes: UnsafePointer<Int32>, _ out: UnsafeMutablePointer<Float>,
  outer: Int = 1, length: Int = 0, count: Int, columns: Int
) {
  if count == 0 || columns == 0 { return }
  let width = 16
  let blocks = max(1, columns / width)  // the last has the columns that are left
  let grain = max(1, elementGrain / (count * min(columns, width)))
  parallelFor(outer * blocks, grain: grain) { range in
    var unit = range.lowerBound
    while unit < range.upperBound {
      let (o, block) = unit.quotientAndRemainder(dividingBy: blocks)
      let next = min(range.upperBound, (o + 1) * blocks)
      let end = next == (o + 1) * blocks ? columns : (block + next - unit) * width
      addRows(
        x + o * count * columns, codes, out + o * length * columns, count: count, columns: columns,
        from: block * width, to: end)
      unit = next
    }
  }
}

private func addRows(
  _ x: UnsafePointer<Float>, _ codes: UnsafePointer<Int32>, _ out: UnsafeMutablePointer<Float>,
  count: Int, columns: Int, from start: Int, to end: Int
) {
  for i in 0..<count {
    let source = x + i * columns
    let target = out + Int(codes[i]) * columns
    var column = start
    while column + 16 <= end {
      let sum = load16(target + column) + load16(source + column)
      UnsafeMutableRawPointer(target + column).storeBytes(of: sum, as: SIMD16<Float>.self)
      column += 16
    }
    while column < end {
      target[column] += source[column]
      column += 1
    }
  }
}

/// `out[o, j, i] = x[o, positions[o, j, i], i]`: x [outer, length, inner], the others [outer,
/// count, inner].
public func gatherElements(
  _ x: UnsafePointer<Float>, _ positions: UnsafePointer<Int32>,
  _ out: UnsafeMutablePointer<Float>, outer: Int, length: Int, count: Int, inner: Int
) {
  if inner == 0 { return }
  parallelFor(outer * count, grain: max(1, elementGrain / inner)) { range in
    for row in range {
      let source = x + row / count * length * inner
      let (from, to) = (positions + row * inner, out + row * inner)
      for i in 0..<inner { to[i] = source[Int(from[i]) * inner + i] }
    }
  }
}

/// `out[o, positions[o, j, i], i] += x[o, j, i]`, in the order of j: out [outer, length, inner],
/// the others [outer, count, inner].
public func scatterAddElements(
  _ x: UnsafePointer<Float>, _ positions: UnsafePointer<Int32>,
  _ out: UnsafeMutablePointer<Float>, outer: Int, length: Int, count: Int, inner: Int
) {
  if count == 0 || inner == 0 { return }
  let width = 64
  let blocks = (inner + width - 1) / width
  let grain = max(1, elementGrain / (count * min(inner, width)))
  parallelFor(outer * blocks, grain: grain) { range in
    for unit in range {
      let (o, block) = unit.quotientAndRemainder(dividingBy: blocks)
      let columns = block * width..<min(inner, (block + 1) * width)
      let target = out + o * length * inner
      for j in 0..<count {
        let row = (o * count + j) * inner
        for i in columns { target[Int(positions[row + i]) * inner + i] += x[row + i] }
      }
    }
  }
}

/// `out[i, codes[i]] = 1`, 0 elsewhere.
public func oneHotRows(
  _ codes: UnsafePointer<Int32>, _ out: UnsafeMutablePointer<Float>, count: Int, columns: Int
) {
  parallelFor(count, grain: max(1, elementGrain / max(columns, 1))) { range in
    for i in range {
      (out + i * columns).update(repeating: 0, count: columns)
      out[i * columns + Int(codes[i])] = 1
    }
  }
}
