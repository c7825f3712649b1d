import VQKernels
import VQTensor

/// The assigned vectors of deferred training forwards, in order, until they are applied.
final class WaitingVectors {
  /// Of one stage of one forward each.
  private(set) var parts: [(stage: Int, assigned: AssignedVectors)] = []

  /// Takes the stages of a forward.
  func add(_ stages: [AssignedVectors]) {
    parts += stages.enumerated().map { stage, part in
      (stage, AssignedVectors(detached: part))
    }
  }

  func keep(first count: Int) { parts.removeLast(max(parts.count - count, 0)) }
}

/// What is known of vectors and their codes once they have been added up.
public struct CodeStatistics {
  /// Vectors of each code, [k].
  public var counts: [Int64]
  /// Their sums, [k, d].
  public var sums: [Double]
  /// Mean and biased variance of all vectors, [d] each.
  public var mean: [Double]
  public var variance: [Double]

  public init(counts: [Int64], sums: [Double], mean: [Double], variance: [Double]) {
    (self.counts, self.sums, self.mean, self.variance) = (counts, sums, mean, variance)
  }

  init(of part: AssignedVectors) {
    let (n, d) = (part.vectors.shape[0], part.vectors.shape[1])
    counts = part.counts.map { Int64($0) }
    var sums = [Double](repeating: 0, count: counts.count * d)
    let groups = CodeIndex(part.codes, codeCount: counts.count).groups
    sums.withUnsafeMutableBufferPointer { sums in
      part.vectors.read { wideSumByCode($0, groups, width: d, sums.baseAddress!) }
    }
    self.sums = sums
    (mean, variance) = part.vectors.read {
      segmentMoments($0, RowSegments(offsets: [0, n], width: d))
    }
  }
}

extension AssignedVectors {
  /// The same without a tape behind the vectors.
  fileprivate init(detached part: AssignedVectors) {
    self.init(
      vectors: part.vectors.detached(), codes: part.codes, counts: part.counts,
      perplexity: part.perplexity)
  }
}

/// The deferred mode of one codebook: what forwards left waiting, and what is applied later.
extension VectorQuant {
  /// Stages of forwards that wait.
  public var waitingCount: Int { book.waiting.parts.count }

  /// The vectors [n, code size], codes int32 [n] and stage of one of them, `0..<waitingCount`.
  public func waitingVectors(_ part: Int) -> (vectors: Tensor, codes: Tensor, stage: Int) {
    let (stage, assigned) = book.waiting.parts[part]
    return (assigned.vectors, assigned.codes, stage)
  }

  public func waitingStatistics(_ part: Int) -> CodeStatistics {
    CodeStatistics(of: book.waiting.parts[part].assigned)
  }

  /// Lloyd updates of the k-means that the codebook is due for, its start or one that is repeated.
  public var dueUpdates: Int? { kMeans.dueUpdates }

  /// Changes what a training forward of all these vectors changes: moments of the affine map, the
  /// in-place step, EMA statistics, phases and counters.
  ///
  /// - Returns: the codes that are dead then, for `replace`.
  public func apply(_ statistics: CodeStatistics) throws -> [Int] {
    if let few = statistics.counts.first(where: { $0 < 0 }) {
      throw VQError.value(book.name, "count", "\(few)", "must not be negative")
    }
    if let wrong = (statistics.mean + statistics.variance).first(where: { !$0.isFinite }) {
      throw VQError.value(book.name, "moment", "\(wrong)", "must be finite")
    }
    let counts = statistics.counts.map { Int32(clamping: $0) }
    let sums = try Tensor(statistics.sums.map { Float($0) }, shape: [codeCount, options.width])
    try innerSteps.checkDeferred()
    try sums.requireFinite(book.name, "the sum of a code's vectors")
    if let moments = book.map.moments {
      let batch = VectorMoments(mean: statistics.mean, variance: statistics.variance)
      try moments.update(batch, codebook: codebook, book.name)
    }
    try innerSteps.step(counts: counts, sums: statistics.sums)
    innerSteps.advance()
    kMeans.advance()
    lookup.anneal()
    try book.follow(counts: counts, sums: sums)
    return replacement.dead(after: counts)
  }

  /// `count` rows of `0..<n`, equally likely, that take the place of dead codes.
  public func drawRows(_ count: Int, below n: Int) throws -> [Int32] {
    try generator.draw { try $0.integers([count], below: n) }.codes
  }

  /// Replaces `codes` by `vectors` [codes, code size], each moved by noise as `Replacement` says.
  public func replace(_ codes: [Int], by vectors: Tensor) throws {
    guard codes.allSatisfy({ $0 >= 0 && $0 < codeCount }),
      vectors.shape == [codes.count, options.width]
    else {
      throw VQError.shape(
        book.name, [[codes.count, options.width], vectors.shape],
        "a vector for each code in 0..<\(codeCount) is required")
    }
    if codes.isEmpty { return }
    let picks = try Tensor(codes: codes.indices.map { Int32($0) }, shape: [codes.count])
    let values = try generator.draw { try noisyPoints(vectors, picks: picks, $0) }
    try book.write(values, rows: codes)
  }
}

extension CodebookQuantizer {
  func requireDeferrableParts() throws {
    for case let layer as VectorQuant in holders { try layer.innerSteps.checkDeferred() }
    guard options.norm != .batch else {
      throw VQError.misuse(name, "norm = bn takes moments of a block: it cannot be deferred")
    }
  }

  /// Ends an update: nothing waits any more, and forwards draw other numbers than before.
  public func endUpdate() {
    for case let layer as VectorQuant in holders {
      layer.book.waiting.keep(first: 0)
      if layer.lookup.temperature != nil || options.gradient == .directional {
        layer.generator.advance()
      }
    }
    if holders.first !== self { forwardDraws?.advance() }
  }
}
