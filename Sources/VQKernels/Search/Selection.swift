/// Positions of elements other than 0, ascending.
public func nonzeroPositions(_ x: UnsafePointer<Int32>, count: Int) -> [Int32] {
  positions(count) { x[$0] != 0 }
}

/// Positions of elements of at least 0, ascending.
public func nonnegativePositions(_ x: UnsafePointer<Int32>, count: Int) -> [Int32] {
  positions(count) { x[$0] >= 0 }
}

@inline(__always)
private func positions(_ count: Int, _ holds: (Int) -> Bool) -> [Int32] {
  [Int32](unsafeUninitializedCapacity: count) { buffer, used in
    for i in 0..<count where holds(i) {
      buffer[used] = Int32(truncatingIfNeeded: i)
      used += 1
    }
  }
}

/// Rows `kept[i]` of `source` [.., width]: [count, width].
public func gatherCodes(
  _ source: UnsafePointer<Int32>, _ kept: UnsafePointer<Int32>, _ out: UnsafeMutablePointer<Int32>,
  count: Int, width: Int
) {
  for i in 0..<count {
    (out + i * width).update(from: source + Int(kept[i]) * width, count: width)
  }
}

/// Rows of `source` [count, width] at rows `kept[i]` of `out` [total, width], -1 elsewhere.
public func scatterCodes(
  _ source: UnsafePointer<Int32>, _ kept: UnsafePointer<Int32>, _ out: UnsafeMutablePointer<Int32>,
  count: Int, width: Int, total: Int
) {
  out.update(repeating: -1, count: total * width)
  for i in 0..<count {
    (out + Int(kept[i]) * width).update(from: source + i * width, count: width)
  }
}
