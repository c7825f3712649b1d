/// The rows of each code, ascending: rows `order[starts[j]..<starts[j + 1]]` have code j.
public final class CodeGroups {
  public let rowCount: Int
  public let codeCount: Int
  let starts: UnsafeMutablePointer<Int>
  let order: UnsafeMutablePointer<Int32>

  /// Counting sort of `codes`, each in `0..<codeCount`.
  public init(_ codes: UnsafePointer<Int32>, rows: Int, codeCount: Int) {
    rowCount = rows
    self.codeCount = codeCount
    starts = .allocate(capacity: codeCount + 1)
    order = .allocate(capacity: max(rows, 1))
    starts.initialize(repeating: 0, count: codeCount + 1)
    for row in 0..<rows { starts[Int(codes[row]) + 1] += 1 }
    for j in 0..<codeCount { starts[j + 1] += starts[j] }
    for row in 0..<rows {
      let code = Int(codes[row])
      order[starts[code]] = Int32(row)
      starts[code] += 1
    }
    for j in stride(from: codeCount, to: 0, by: -1) { starts[j] = starts[j - 1] }
    starts[0] = 0
  }

  deinit {
    starts.deallocate()
    order.deallocate()
  }

  func count(_ code: Int) -> Int { starts[code + 1] - starts[code] }

  /// Rows of the sorted order that one thread sums at a time.
  private static let segment = 256

  /// Calls `finish(code, count, sums)` once for every code, `sums[i] = sum source[row, i]` over its
  /// rows.
  ///
  /// Sums are Float64, by segments of the sorted order that depend on nothing but the codes; a code
  /// that crosses a segment's border adds its parts in order.
  @inline(__always)
  func forEachSum<Element: BinaryFloatingPoint>(
    _ source: UnsafePointer<Element>, width d: Int,
    _ finish: (_ code: Int, _ count: Int, _ sums: UnsafePointer<Double>) -> Void
  ) {
    let segment = Self.segment
    let segments = (rowCount + segment - 1) / segment
    // The part of a segment's first code, then that of its last.
    let parts = UnsafeMutablePointer<Double>.allocate(capacity: max(segments * 2 * d, 1))
    defer { parts.deallocate() }
    let order = order
    let starts = starts
    parallelFor(segments, grain: 1) { range in
      for index in range {
        let begin = index * segment
        let end = min(begin + segment, rowCount)
        withUnsafeTemporaryAllocation(of: Double.self, capacity: max(d, 1)) { buffer in
          let own = buffer.baseAddress!
          var code = self.code(atPosition: begin)
          var position = begin
          while position < end {
            while starts[code + 1] <= position { code += 1 }
            let stop = min(starts[code + 1], end)
            let isWhole = starts[code] >= begin && starts[code + 1] <= end
            let sums = isWhole ? own : parts + (index * 2 + (position == begin ? 0 : 1)) * d
            for i in 0..<d { sums[i] = 0 }
            for place in position..<stop {
              let row = source + Int(order[place]) * d
              for i in 0..<d { sums[i] += Double(row[i]) }
            }
            if isWhole { finish(code, stop - position, sums) }
            position = stop
          }
        }
      }
    }
    parallelFor(codeCount, grain: 64) { range in
      withUnsafeTemporaryAllocation(of: Double.self, capacity: max(d, 1)) { buffer in
        let sums = buffer.baseAddress!
        for code in range {
          let (begin, end) = (starts[code], starts[code + 1])
          if begin == end {
            for i in 0..<d { sums[i] = 0 }
            finish(code, 0, sums)
            continue
          }
          let (first, last) = (begin / segment, (end - 1) / segment)
          if first == last { continue }
          let head = parts + (first * 2 + (begin == first * segment ? 0 : 1)) * d
          for i in 0..<d { sums[i] = head[i] }
          for index in first + 1...last {
            let part = parts + index * 2 * d
            for i in 0..<d { sums[i] += part[i] }
          }
          finish(code, end - begin, sums)
        }
      }
    }
  }

  /// The last code whose rows begin at or before `position`.
  private func code(atPosition position: Int) -> Int {
    var (low, high) = (0, codeCount)
    while high - low > 1 {
      let middle = (low + high) / 2
      if starts[middle] <= position { low = middle } else { high = middle }
    }
    return low
  }
}

/// How `rows` rows use `codeCount` codes: counts, perplexity `2^H` (H in bits) and the number in
/// use.
public func codeUsage(
  _ codes: UnsafePointer<Int32>, rows: Int, codeCount: Int
) -> (counts: [Int32], perplexity: Double, active: Int) {
  var counts = [Int32](repeating: 0, count: codeCount)
  counts.withUnsafeMutableBufferPointer { counts in
    for row in 0..<rows { counts[Int(codes[row])] += 1 }
  }
  let usage = countUsage(counts, total: rows)
  return (counts, usage.perplexity, usage.active)
}

/// The first code outside `lowest..<bound`.
public func firstCodeOutOfRange(
  _ codes: UnsafePointer<Int32>, count: Int, from lowest: Int32 = 0, bound: Int
) -> Int32? {
  for i in 0..<count where codes[i] < lowest || codes[i] >= Int32(clamping: bound) {
    return codes[i]
  }
  return nil
}
