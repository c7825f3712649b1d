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
    let generator = Generator(stateWords: state.codes)
    defer {
      state.mutateCodes { words in
        for (index, word) in generator.stateWords.enumerated() { words[index] = word }
      }
    }
    return try body(generator)
  }
}
