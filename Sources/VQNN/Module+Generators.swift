import VQTensor

/// A generator's seed, stream and counter as int32 [6], low words first.
extension Generator {
  public var state: Tensor {
    get throws {
      let words = [seed, stream, counter].flatMap { word in
        [Int32(truncatingIfNeeded: word), Int32(truncatingIfNeeded: word >> 32)]
      }
      return try Tensor(codes: words, shape: [6])
    }
  }
}

extension Module {
  /// The generators of the tree by dotted name.
  public var namedGenerators: [(name: String, generator: Generator)] {
    var result: [(name: String, generator: Generator)] = []
    visit { prefix, module in
      for (name, generator) in module.ownGenerators { result.append((prefix + name, generator)) }
    }
    return result
  }

  /// What the generators need to go on from here: `rng.*` of a checkpoint.
  public var generatorStates: [NamedTensor] {
    get throws { try namedGenerators.map { ($0.name, try $0.generator.state) } }
  }

  /// Sets the counters of the generators from `state`, or throws and changes nothing.
  ///
  /// - Throws: `.value` unless every generator is given once, with its own seed and stream.
  public func load(generatorStates state: [NamedTensor]) throws {
    let operation = "load_generators"
    let own = namedGenerators
    guard Set(own.map(\.name)) == Set(state.map(\.name)), own.count == state.count else {
      throw VQError.value(
        operation, "names", state.map(\.name).joined(separator: ", "),
        "must be \(own.map(\.name).joined(separator: ", "))")
    }
    let given = Dictionary(uniqueKeysWithValues: state.map { ($0.name, $0.tensor) })
    var counters: [UInt64] = []
    for (name, generator) in own {
      guard let words = given[name], words.dtype == .int32, words.shape == [6] else {
        throw VQError.value(operation, "state", name, "must be int32 of shape [6]")
      }
      let parts = words.codes.map { UInt64(UInt32(bitPattern: $0)) }
      guard parts[0] | parts[1] << 32 == generator.seed,
        parts[2] | parts[3] << 32 == generator.stream
      else {
        throw VQError.value(operation, "state", name, "must come from the same seed and stream")
      }
      counters.append(parts[4] | parts[5] << 32)
    }
    for (index, (_, generator)) in own.enumerated() { generator.counter = counters[index] }
  }
}
