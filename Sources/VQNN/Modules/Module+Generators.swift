import VQTensor

extension Module {
  /// The generators of the tree by dotted name.
  public var namedGenerators: [(name: String, generator: Generator)] {
    var result: [(name: String, generator: Generator)] = []
    visit { prefix, module in
      for (name, generator) in module.ownGenerators { result.append((prefix + name, generator)) }
    }
    return result
  }

  /// What the generators need to go on from here, int32 [6] each (seed, stream and counter, low
  /// words first): `rng.*` of a checkpoint.
  public var generatorStates: [NamedTensor] {
    get throws {
      try namedGenerators.map { ($0.name, try Tensor(codes: $0.generator.stateWords, shape: [6])) }
    }
  }

  /// Sets the counters of the generators from `state`, or throws and changes nothing.
  ///
  /// - Throws: `.value` unless every generator is given once, with its own seed and stream.
  public func load(generatorStates state: [NamedTensor]) throws {
    let operation = "load_generators"
    let own = namedGenerators
    let names = Set(own.map { ExactString($0.name) })
    guard names == Set(state.map { ExactString($0.name) }), names.count == state.count else {
      throw VQError.value(
        operation, "names", state.map(\.name).joined(separator: ", "),
        "must be \(own.map(\.name).joined(separator: ", "))")
    }
    let given = Dictionary(uniqueKeysWithValues: state.map { (ExactString($0.name), $0.tensor) })
    var counters: [UInt64] = []
    for (name, generator) in own {
      guard let words = given[ExactString(name)], words.dtype == .int32, words.shape == [6] else {
        throw VQError.value(operation, "state", name, "must be int32 of shape [6]")
      }
      let saved = Generator(stateWords: words.codes)
      guard saved.seed == generator.seed, saved.stream == generator.stream else {
        throw VQError.value(operation, "state", name, "must come from the same seed and stream")
      }
      counters.append(saved.counter)
    }
    for (index, (_, generator)) in own.enumerated() { generator.counter = counters[index] }
  }
}
