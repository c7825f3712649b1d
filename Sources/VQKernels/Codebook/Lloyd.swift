/// Lloyd's algorithm on memory.
///
/// `x` is [n, d]; `centroids` [k, d] has the start and takes the result; `codes` [n] and the
/// inertia, in Float64, are those of the result. It ends when no code changes, after `iterations`
/// updates at most.
///
/// - Returns: the inertia and the updates made; undefined where loops were stopped.
public func lloyd(
  _ x: UnsafePointer<Float>, count n: Int, width d: Int, _ centroids: UnsafeMutablePointer<Float>,
  codes k: Int, iterations: Int, _ codes: UnsafeMutablePointer<Int32>
) -> (inertia: Double, iterations: Int) {
  Clustering(x, count: n, width: d, centroids, codes: k, codes).run(iterations)
}

/// The same of Float64 points.
public func lloyd(
  _ x: UnsafePointer<Double>, count n: Int, width d: Int,
  _ centroids: UnsafeMutablePointer<Double>, codes k: Int, iterations: Int,
  _ codes: UnsafeMutablePointer<Int32>
) -> (inertia: Double, iterations: Int) {
  Clustering(x, count: n, width: d, centroids, codes: k, codes).run(iterations)
}

private struct Clustering<Element: SearchElement> {
  let x: UnsafePointer<Element>
  let n: Int
  let d: Int
  let k: Int
  let centroids: UnsafeMutablePointer<Element>
  let codes: UnsafeMutablePointer<Int32>

  init(
    _ x: UnsafePointer<Element>, count n: Int, width d: Int,
    _ centroids: UnsafeMutablePointer<Element>, codes k: Int, _ codes: UnsafeMutablePointer<Int32>
  ) {
    (self.x, self.n, self.d, self.k, self.centroids, self.codes) = (x, n, d, k, centroids, codes)
  }

  func run(_ iterations: Int) -> (inertia: Double, iterations: Int) {
    let sums = iterations > 0 ? ClusterSums(rows: n, codes: k, width: d) : nil
    let steps = sums == nil ? nil : boundedSteps(iterations)
    let before = UnsafeMutablePointer<Element>.allocate(capacity: iterations > 0 ? k * d : 1)
    let previous = UnsafeMutablePointer<Int32>.allocate(capacity: iterations > 0 ? n : 1)
    defer {
      before.deallocate()
      previous.deallocate()
    }
    for step in 0..<iterations {
      if loopIsStopped() { break }
      let bounded = bounded(steps, before: step > 0 ? before : nil, left: iterations - step)
      before.update(from: centroids, count: k * d)
      let counts = assignAndMove(sums, bounded)
      if loopIsStopped() { break }
      let moved = fill(counts, movesDonors: true)
      if moved > 0 { steps?.forget() }
      if moved == 0, step > 0, equalCodes(codes, previous, count: n) {
        centroids.update(from: before, count: k * d)
        return (inertia(), step)
      }
      previous.update(from: codes, count: n)
    }
    if let sums, let bounded = bounded(steps, before: before, left: 0) {
      assign(sums, bounded)
    } else {
      assign()
    }
    while iterations > 0, !loopIsStopped(), fill(counts(), movesDonors: false) > 0 { assign() }
    return loopIsStopped() ? (0, 0) : (inertia(), iterations)
  }

  private func boundedSteps(_ iterations: Int) -> BoundedSteps? {
    guard let x = floats(x) else { return nil }
    return BoundedSteps(x, count: n, width: d, codes: k, iterations: iterations)
  }

  /// What is to search the current centroids by bounds, if anything.
  private func bounded(
    _ steps: BoundedSteps?, before: UnsafeMutablePointer<Element>?, left: Int
  ) -> BoundedSearch? {
    guard let steps, let centroids = floats(centroids) else { return nil }
    return steps.take(centroids, movedFrom: before.flatMap { floats($0) }, left: left)
  }

  /// The same memory where it holds float32.
  private func floats(_ x: UnsafePointer<Element>) -> UnsafePointer<Float>? {
    Element.self == Float.self ? UnsafeRawPointer(x).assumingMemoryBound(to: Float.self) : nil
  }

  private func assign(_ sums: ClusterSums, _ bounded: BoundedSearch) {
    guard let tiles = bounded.tiles, let centroids = floats(centroids) else { return }
    sums.assign(bounded, tiles, centroids, codes)
  }

  private func assign() {
    _ = findNearest(x, count: n, centroids, packed(), codes)
  }

  private func packed() -> PackedCodebook {
    PackedCodebook(of: UnsafePointer(centroids), codes: k, width: d, instructionSet: .usable)
  }

  /// Finds the codes and moves the centroids that have any points to their means; the points of
  /// each.
  private func assignAndMove(_ sums: ClusterSums?, _ bounded: BoundedSearch?) -> [Int32] {
    if let sums {
      if let bounded {
        assign(sums, bounded)
      } else {
        sums.assign(x, centroids, packed(), codes)
      }
      return loopIsStopped() ? [] : sums.moveToMeans(centroids)
    }
    assign()
    if loopIsStopped() { return [] }
    let counts = counts()
    meanByCode(x, CodeGroups(codes, rows: n, codeCount: k), width: d, centroids)
    return counts
  }

  private func counts() -> [Int32] { codeUsage(codes, rows: n, codeCount: k).counts }

  private func fill(_ counts: [Int32], movesDonors: Bool) -> Int {
    fillEmptyClusters(
      x, count: n, width: d, codes, counts: counts, centroids, movesDonors: movesDonors)
  }

  private func inertia() -> Double {
    chunkedSum(n, grain: max(1, elementGrain / d)) { range in
      range.reduce(0) { sum, row in
        sum + squaredDistance(x + row * d, centroids + Int(codes[row]) * d, width: d)
      }
    }
  }
}

private func equalCodes(
  _ a: UnsafePointer<Int32>, _ b: UnsafePointer<Int32>, count: Int
) -> Bool {
  for i in 0..<count where a[i] != b[i] { return false }
  return true
}
