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

/// `out[i] = table[codes[i]]`, rows of `columns`.
public func gatherRows(
  _ table: UnsafePointer<Float>, _ codes: UnsafePointer<Int32>,
  _ out: UnsafeMutablePointer<Float>, count: Int, columns: Int
) {
  parallelFor(count, grain: max(1, elementGrain / max(columns, 1))) { range in
    for i in range {
      (out + i * columns).update(from: table + Int(codes[i]) * columns, count: columns)
    }
  }
}

/// `out[codes[i]] += x[i]`, in the order of i for every row of `out`: threads share the columns.
public func scatterAddRows(
  _ x: UnsafePointer<Float>, _ codes: UnsafePointer<Int32>,
  _ out: UnsafeMutablePointer<Float>, count: Int, columns: Int
) {
  let width = 16
  let blocks = columns / width
  parallelFor(blocks, grain: max(1, elementGrain / max(count * width, 1))) { range in
    let (start, end) = (range.lowerBound * width, range.upperBound * width)
    for i in 0..<count {
      let source = x + i * columns
      let target = out + Int(codes[i]) * columns
      for column in stride(from: start, to: end, by: width) {
        let sum = load16(target + column) + load16(source + column)
        UnsafeMutableRawPointer(target + column).storeBytes(of: sum, as: SIMD16<Float>.self)
      }
    }
  }
  let start = blocks * width
  if start == columns { return }
  for i in 0..<count {
    let source = x + i * columns
    let target = out + Int(codes[i]) * columns
    for column in start..<columns { target[column] += source[column] }
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
