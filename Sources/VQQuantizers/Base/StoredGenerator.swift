import VQTensor

/// A generator whose state is a tensor, so that a checkpoint resumes its draws.
struct StoredGenerator {
  /// Seed, stream and counter, low words first, int32 [6].
  let state: Tensor
  private let deferral = Deferral()

  /// Where the draws of a forward stand whose state changes later.
  private final class Deferral {
    var block: Int?
    var drawn: UInt64 = 0
  }

  init(_ generator: Generator) throws {
    state = try Tensor(codes: generator.stateWords, shape: [6])
  }

  /// Lets `body` draw, and keeps the place that it leaves the generator at.
  func draw<Result>(_ body: (Generator) throws -> Result) rethrows -> Result {
    let before = state.codes
    DrawLog.current?.note(state) { [state] in
      let after = state.codes
      StoredGenerator.write(before, to: state)
      return { StoredGenerator.write(after, to: state) }
    }
    let generator = Generator(stateWords: before)
    defer { StoredGenerator.write(generator.stateWords, to: state) }
    return try body(generator)
  }

  // MARK: Deferred

  /// Lets `drawInForward` draw what belongs to a block of a batch until the state next changes; nil
  /// ends that.
  func begin(block: Int?) { (deferral.block, deferral.drawn) = (block, 0) }

  /// As `draw`, but within a block from a generator of its own, made of the state, which stays: the
  /// blocks of a batch may be forwarded anywhere.
  func drawInForward<Result>(_ body: (Generator) throws -> Result) rethrows -> Result {
    guard let block = deferral.block else { return try draw(body) }
    let now = Generator(stateWords: state.codes)
    let own = Generator(
      seed: now.seed &+ (now.counter &+ 1) &* 0x9E37_79B9_7F4A_7C15,
      stream: now.stream &+ UInt64(block + 1) &* 0xD1B5_4A32_D192_ED03)
    own.counter = deferral.drawn
    defer { deferral.drawn = own.counter }
    return try body(own)
  }

  /// Lets the blocks of the next batch draw other numbers.
  func advance() { draw { $0.counter &+= 1 } }

  private static func write(_ words: [Int32], to state: Tensor) {
    state.mutateCodes { $0.update(from: words, count: words.count) }
  }
}
