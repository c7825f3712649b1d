import VQTensor

/// Zeroes elements with `probability` in training and scales the others by `1 / (1 - probability)`.
public final class Dropout: Module {
  public let probability: Float
  public let generator: Generator

  public init(_ probability: Float = 0.5, generator: Generator) throws {
    guard probability >= 0, probability <= 1 else {
      throw VQError.value("dropout", "p", "\(probability)", "must be from 0 to 1")
    }
    self.probability = probability
    self.generator = generator
  }

  public override var ownGenerators: [(name: String, generator: Generator)] {
    [("generator", generator)]
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    isTraining ? try x.dropout(probability, generator: generator) : x
  }
}
