import VQTensor

/// A generator whose state is a tensor, so that a checkpoint resumes its draws.
struct StoredGenerator {
  /// Seed, stream and counter, low words first, int32 [6].
  let state: Tensor

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

  private static func write(_ words: [Int32], to state: Tensor) {
    state.mutateCodes { $0.update(from: words, count: words.count) }
  }
}
