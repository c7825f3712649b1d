import VQKernels

/// A counter-based random number generator, Philox 4x32-10.
///
/// A draw depends on seed, stream, counter and the element's position alone, never on the number of
/// threads; it advances the counter by the number of 128-bit blocks that it used. Seed, stream and
/// counter are the whole state.
public final class Generator {
  public let seed: UInt64
  public let stream: UInt64
  public var counter: UInt64 = 0

  public init(seed: UInt64, stream: UInt64 = 0) {
    self.seed = seed
    self.stream = stream
  }

  /// The state before the next `blocks` blocks, which are spent.
  private func advance(_ blocks: Int) -> RandomState {
    if let log = DrawLog.current {
      log.note(self) { [before = counter, unowned self] in
        let after = self.counter
        self.counter = before
        return { [unowned self] in self.counter = after }
      }
    }
    let state = RandomState(seed: seed, stream: stream, counter: counter)
    counter &+= UInt64(blocks)
    return state
  }

  /// The state for one word an element.
  package func words(_ count: Int) -> RandomState { advance((count + 3) / 4) }

  /// Uniform numbers in `[from, to)`, of 24 bits.
  public func uniform(_ shape: [Int], from: Float = 0, to: Float = 1) throws -> Tensor {
    guard from < to, (to - from).isFinite else {
      throw VQError.value(
        "uniform", "range", "\(from)..<\(to)", "must be finite, the first below the second")
    }
    let count = try Shape.count(shape, "uniform")
    return try Tensor("uniform", shape: shape) { out in
      uniformFill(words(count), out, count: count, from: from, to: to)
    }
  }

  /// Normal numbers.
  public func normal(
    _ shape: [Int], mean: Float = 0, standardDeviation: Float = 1
  ) throws -> Tensor {
    try Generator.check("normal", mean, standardDeviation)
    let count = try Shape.count(shape, "normal")
    return try Tensor("normal", shape: shape) { out in
      normalFill(
        words(count), out, count: count, mean: mean, standardDeviation: standardDeviation)
    }
  }

  /// Normal numbers conditioned on `minimum...maximum`, bounds given in standard deviations from
  /// the mean.
  public func truncatedNormal(
    _ shape: [Int], mean: Float = 0, standardDeviation: Float = 1, minimum: Float = -2,
    maximum: Float = 2
  ) throws -> Tensor {
    try Generator.check("truncated_normal", mean, standardDeviation)
    guard minimum < maximum, minimum < 6, maximum > -6 else {
      throw VQError.value(
        "truncated_normal", "bounds", "\(minimum)...\(maximum)",
        "the first must be below the second, and within 6 standard deviations of the mean")
    }
    let count = try Shape.count(shape, "truncated_normal")
    return try Tensor("truncated_normal", shape: shape) { out in
      truncatedNormalFill(
        advance((count + 1) / 2), out, count: count, mean: mean,
        standardDeviation: standardDeviation, minimum: Double(Swift.max(minimum, -8)),
        maximum: Double(Swift.min(maximum, 8)))
    }
  }

  /// Integers in `0..<bound`, equally likely, as int32.
  public func integers(_ shape: [Int], below bound: Int) throws -> Tensor {
    guard bound >= 1, bound <= 1 << 31 else {
      throw VQError.value("integers", "below", "\(bound)", "must be in 1...2147483648")
    }
    let count = try Shape.count(shape, "integers")
    return try Tensor("integers", codeShape: shape) { out in
      integerFill(advance(count), out, count: count, below: bound)
    }
  }

  /// A random order of `0..<count`, as int32.
  public func permutation(_ count: Int) throws -> Tensor {
    guard count >= 0, count <= 1 << 31 else {
      throw VQError.value("permutation", "count", "\(count)", "must be in 0...2147483648")
    }
    return try Tensor("permutation", codeShape: [count]) { out in
      permutationFill(advance(count), out, count: count)
    }
  }

  /// A uniform number in `[0, 1)`, of 53 bits.
  public func nextUniform() -> Double {
    let words = philox(advance(1), 0)
    return Double((UInt64(words[1]) << 32 | UInt64(words[0])) >> 11) * 0x1p-53
  }

  /// An index in `0..<bound`, equally likely; 0 for a bound below 1.
  public func nextIndex(below bound: Int) -> Int {
    Int(randomIndex(philox(advance(1), 0), below: UInt64(Swift.max(bound, 1))))
  }

  private static func check(_ operation: String, _ mean: Float, _ deviation: Float) throws {
    guard mean.isFinite else {
      throw VQError.value(operation, "mean", "\(mean)", "must be finite")
    }
    guard deviation.isFinite, deviation >= 0 else {
      throw VQError.value(
        operation, "standard_deviation", "\(deviation)", "must be finite and at least 0")
    }
  }
}

extension Generator {
  /// Seed, stream and counter, low words first.
  package var stateWords: [Int32] {
    [seed, stream, counter].flatMap {
      [Int32(truncatingIfNeeded: $0), Int32(truncatingIfNeeded: $0 >> 32)]
    }
  }

  package convenience init(stateWords words: [Int32]) {
    func word(_ index: Int) -> UInt64 {
      UInt64(UInt32(bitPattern: words[index])) | UInt64(UInt32(bitPattern: words[index + 1])) << 32
    }
    self.init(seed: word(0), stream: word(2))
    counter = word(4)
  }
}
