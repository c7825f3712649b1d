/// Finds the codes of blocks of points; scratch memory of one thread.
protocol BlockSearch {
  /// Points of a block at most.
  var points: Int { get }
  /// Writes the codes of `count` points from `first` on over those before, `codes` [count]; -1 for
  /// those left to the whole codebook.
  mutating func find(first: Int, count: Int, _ codes: UnsafeMutablePointer<Int32>)
  func deallocate()
}

private struct PanelBlock<Element: SearchElement>: BlockSearch {
  var search: PanelSearch<Element>
  let x: UnsafePointer<Element>
  let packed: PackedCodebook

  var points: Int { packed.kernels.panelPoints }

  mutating func find(first: Int, count: Int, _ codes: UnsafeMutablePointer<Int32>) {
    _ = search.find(x + first * packed.d, count: count, codes)
  }

  func deallocate() { search.deallocate() }
}

/// Sums of the rows of each code, added up while the codes are found.
final class ClusterSums {
  /// Points of one group at least, and groups at most: their sums are added in order, so that the
  /// result is the same for every thread count.
  private static let (leastRows, mostGroups) = (4096, 16)
  /// Elements of all groups' sums at most.
  private static let mostElements = 1 << 25

  private let k: Int
  private let d: Int
  private let n: Int
  private let groups: Int
  private let rows: Int
  private let sums: UnsafeMutablePointer<Double>  // [groups, k, d]
  private let counts: UnsafeMutablePointer<Int32>  // [groups, k]

  /// nil where the sums of two groups would be too large: rows are then summed after the search.
  init?(rows n: Int, codes k: Int, width d: Int) {
    let groups = min(Self.mostGroups, Self.mostElements / (k * d), (n - 1) / Self.leastRows + 1)
    guard groups >= min(2, (n - 1) / Self.leastRows + 1) else { return nil }
    (self.k, self.d, self.n, self.groups) = (k, d, n, groups)
    rows = ((n - 1) / groups / 64 + 1) * 64
    sums = .allocate(capacity: groups * k * d)
    counts = .allocate(capacity: groups * k)
  }

  deinit {
    sums.deallocate()
    counts.deallocate()
  }

  /// Finds the codes of `x` [n, d] as `nearestCode` does, and sums the points of each.
  func assign<Element: SearchElement>(
    _ x: UnsafePointer<Element>, _ codebook: UnsafePointer<Element>, _ packed: PackedCodebook,
    _ codes: UnsafeMutablePointer<Int32>
  ) {
    assign(x, codebook, codes, packed: { packed }) { stop in
      PanelBlock(search: PanelSearch(packed, codebook, stop), x: x, packed: packed)
    }
  }

  /// The same by bounds, of the points that `search` is of.
  func assign(
    _ search: BoundedSearch, _ tiles: GroupTiles, _ codebook: UnsafePointer<Float>,
    _ codes: UnsafeMutablePointer<Int32>
  ) {
    let packed = { PackedCodebook(codebook, codes: self.k, width: self.d) }
    assign(search.x, codebook, codes, packed: packed) { _ in
      BoundedBlock(search, tiles, codebook)
    }
  }

  private func assign<Element: SearchElement, Search: BlockSearch>(
    _ x: UnsafePointer<Element>, _ codebook: UnsafePointer<Element>,
    _ codes: UnsafeMutablePointer<Int32>, packed: () -> PackedCodebook,
    _ search: (LoopStop) -> Search
  ) {
    let (k, d, n, groups, rows) = (k, d, n, groups, rows)
    let (sums, counts) = (sums, counts)
    parallelFor(groups, grain: 1) { range, stop in
      for group in range {
        let (first, last) = (min(group * rows, n), min((group + 1) * rows, n))
        let own = sums + group * k * d
        let ownCounts = counts + group * k
        own.initialize(repeating: 0, count: k * d)
        ownCounts.initialize(repeating: 0, count: k)
        var search = search(stop)
        defer { search.deallocate() }
        for start in stride(from: first, to: last, by: search.points) {
          let count = min(search.points, last - start)
          search.find(first: start, count: count, codes + start)
          // A stopped search has written no codes.
          if stop.isRequested { return }
          addRows(x + start * d, codes + start, count: count, width: d, own, ownCounts)
        }
      }
    }
    let wide = resolveWideRows(x, count: n, codebook, packed(), codes)
    if wide.isEmpty { return }
    parallelFor(groups, grain: 1) { range in
      for group in range {
        for row in wide where group * rows..<(group + 1) * rows ~= row {
          addRows(
            x + row * d, codes + row, count: 1, width: d, sums + group * k * d, counts + group * k)
        }
      }
    }
  }

  /// Moves the rows of `codebook` [k, d] to the means of the points that `assign` gave them; those
  /// without points stay.
  ///
  /// - Returns: the points of each code.
  func moveToMeans<Element: SearchElement>(
    _ codebook: UnsafeMutablePointer<Element>
  ) -> [Int32] {
    let (k, d, groups) = (k, d, groups)
    let (sums, counts) = (sums, counts)
    parallelFor(k, grain: max(1, elementGrain / (d * groups))) { range in
      for code in range {
        for group in 1..<max(groups, 1) {
          counts[code] += counts[group * k + code]
          addElements(sums + (group * k + code) * d, count: d, sums + code * d)
        }
        if counts[code] == 0 { continue }
        let factor = 1 / Double(counts[code])
        for i in 0..<d { codebook[code * d + i] = Element(sums[code * d + i] * factor) }
      }
    }
    return Array(UnsafeBufferPointer(start: counts, count: k))
  }
}

@inline(__always)
private func addElements(
  _ x: UnsafePointer<Double>, count: Int, _ sums: UnsafeMutablePointer<Double>
) {
  for i in 0..<count { sums[i] += x[i] }
}

/// Adds rows [count, d] to the sums of their codes, save those whose code is -1.
@inline(__always)
private func addRows<Element: SearchElement>(
  _ x: UnsafePointer<Element>, _ codes: UnsafePointer<Int32>, count: Int, width d: Int,
  _ sums: UnsafeMutablePointer<Double>, _ counts: UnsafeMutablePointer<Int32>
) {
  for r in 0..<count where codes[r] >= 0 {
    let code = Int(codes[r])
    let sum = sums + code * d
    let row = x + r * d
    for i in 0..<d { sum[i] += Double(row[i]) }
    counts[code] += 1
  }
}

/// `sum x[i]` in Float64, by fixed chunks.
public func sumInDouble(_ x: UnsafePointer<Float>, count: Int) -> Double {
  var sums = [Double](repeating: 0, count: (count + elementGrain - 1) / elementGrain)
  sums.withUnsafeMutableBufferPointer { sums in
    parallelFor(count, grain: elementGrain) { range in
      var sum = 0.0
      for i in range { sum += Double(x[i]) }
      sums[range.lowerBound / elementGrain] = sum
    }
  }
  return sums.reduce(0, +)
}

/// The largest |x[i]|.
public func largestMagnitude(_ x: UnsafePointer<Float>, count: Int) -> Float {
  var largest = [Float](repeating: 0, count: (count + elementGrain - 1) / elementGrain)
  largest.withUnsafeMutableBufferPointer { largest in
    parallelFor(count, grain: elementGrain) { range in
      var most: Float = 0
      for i in range { most = max(most, x[i].magnitude) }
      largest[range.lowerBound / elementGrain] = most
    }
  }
  return largest.max() ?? 0
}
