import VQKernels
import VQTensor

/// How often each of k codes was used, over as many batches as are added.
///
/// Codes are int32 of any shape; -1 stands at masked positions and counts nowhere.
public struct CodeUsage {
  /// Uses of each code, [k].
  public private(set) var counts: [Int64]

  /// - Throws: `value` unless k is in 1...2^31 - 1.
  public init(codeCount k: Int) throws {
    guard k >= 1, k <= Int(Int32.max) else {
      throw VQError.value("code_usage", "num_codes", "\(k)", "must be at least 1 and fit in int32")
    }
    counts = [Int64](repeating: 0, count: k)
  }

  /// Goes on from `counts` [k].
  ///
  /// - Throws: `value` for a negative count or without counts, `overflow` for a sum beyond 64 bits.
  public init(counts: [Int64]) throws {
    try self.init(codeCount: counts.count)
    if let count = counts.first(where: { $0 < 0 }) {
      throw VQError.value("code_usage", "count", "\(count)", "must be at least 0")
    }
    self.counts = counts
    _ = try sum(adding: 0)
  }

  /// All uses and `more` further ones.
  ///
  /// - Throws: `overflow` when they do not fit in 64 bits.
  private func sum(adding more: Int) throws -> Int64 {
    var sum = Int64(more)
    for count in counts {
      let (next, overflows) = sum.addingReportingOverflow(count)
      guard !overflows else { throw VQError.overflow("code_usage", [Int(sum), Int(count)]) }
      sum = next
    }
    return sum
  }

  /// Adds the uses of a batch.
  ///
  /// - Throws: `index` for a code that is neither -1 nor in `0..<k`; nothing is added then.
  public mutating func update(_ codes: Tensor) throws {
    let (operation, k) = ("code_usage", counts.count)
    guard codes.dtype.isInteger else {
      throw VQError.type(operation, [codes.dtype], "codes must be int32")
    }
    _ = try sum(adding: codes.count)
    try codes.readCodes { source in
      if let code = firstUncountableCode(source, count: codes.count, bound: k) {
        throw VQError.index(operation, value: Int(code), bound: k)
      }
      counts.withUnsafeMutableBufferPointer {
        addCodeCounts(source, count: codes.count, $0.baseAddress!)
      }
    }
  }

  /// Codes used at least once.
  public var activeCodes: Int { counts.reduce(0) { $1 > 0 ? $0 + 1 : $0 } }

  /// `2^H`, H the entropy of the probabilities in bits: 1 for one code, m for m equally used ones.
  ///
  /// - Throws: `empty` before any use.
  public func perplexity() throws -> Double {
    countUsage(counts, total: try total()).perplexity
  }

  /// The share of each code in all uses, [k].
  ///
  /// - Throws: `empty` before any use.
  public func probabilities() throws -> [Double] {
    let total = Double(try total())
    return counts.map { Double($0) / total }
  }

  private func total() throws -> Int {
    let total = try sum(adding: 0)
    guard total > 0 else {
      throw VQError.empty("code_usage", [0], "at least one code that is not masked is required")
    }
    return Int(total)
  }
}
