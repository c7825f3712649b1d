import VQNN
import VQTensor

/// The layers of a vector's parts, groups or stages: one for each, or one that they share.
struct PartLayers {
  let layers: [VectorQuant]
  /// Parts of a vector.
  let count: Int

  /// - Parameters:
  ///   - options: of each layer, which must have been checked; but for the seed, of which each has
  ///     its own.
  ///   - rowsPerVector: rows that a vector is cut into.
  init(
    _ options: VectorQuantOptions, count: Int, isShared: Bool, rowsPerVector: Int = 1
  ) throws {
    self.count = count
    layers = try options.seeds(isShared ? 1 : count).map { seed in
      var own = options
      own.seed = seed
      return try VectorQuant(own, rowsPerVector: rowsPerVector)
    }
  }

  var isShared: Bool { layers.count < count }

  subscript(part: Int) -> VectorQuant { isShared ? layers[0] : layers[part] }

  var children: [(name: String, module: Module)] { layers.enumerated().map { ("\($0)", $1) } }

  /// Throws unless a vector may have so many parts.
  static func check(count: Int, _ name: String, _ operation: String) throws {
    guard count >= 1, count <= 1 << 16 else {
      throw VQError.value(operation, name, "\(count)", "must be in 1...\(1 << 16)")
    }
  }
}

extension VectorQuantOptions {
  /// `count` seeds: the options' own, then drawn ones.
  func seeds(_ count: Int) -> [UInt64] {
    let generator = Generator(seed: seed, stream: stream)
    return (0..<count).map { index in
      index == 0 ? seed : UInt64(generator.nextUniform() * 0x1p53) << 11 ^ UInt64(index)
    }
  }
}
