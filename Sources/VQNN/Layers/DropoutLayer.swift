import VQTensor

/// The options of a `Dropout`.
public struct DropoutOptions {
  public var probability: Float = 0.5

  public static let table = OptionTable(DropoutOptions()) {
    Option("p", \.probability, .probability)
  }
}

/// Zeroes elements with `probability` in training and scales the others by `1 / (1 - probability)`.
public final class Dropout: Module {
  public let probability: Float
  public let generator: Generator

  public init(_ probability: Float = 0.5, generator: Generator) throws {
    try DropoutOptions.table.check(DropoutOptions(probability: probability), "dropout")
    self.probability = probability
    self.generator = generator
  }

  public static let kind = ModuleKind("dropout", DropoutOptions.table) {
    try Dropout($0.probability, generator: $1.generator())
  }

  public override var ownGenerators: [(name: String, generator: Generator)] {
    [("generator", generator)]
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    isTraining ? try x.dropout(probability, generator: generator) : x
  }
}
