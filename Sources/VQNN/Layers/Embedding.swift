import VQTensor

/// The options of an `Embedding`.
public struct EmbeddingOptions {
  public var count = 0
  public var features = 0

  public static let table = OptionTable(EmbeddingOptions()) {
    Option("count", \.count, .size, isRequired: true)
    Option("features", \.features, .size, isRequired: true)
  }
}

/// Rows of a table: codes [...] to [..., d], weight [k, d], N(0, 1) at the start.
public final class Embedding: Module {
  public let weight: Tensor

  public init(weight: Tensor) throws {
    guard weight.rank == 2 else {
      throw VQError.shape("embedding", [weight.shape], "the weight must be [k, d]")
    }
    self.weight = try weight.requiringGrad(.weight)
  }

  public convenience init(count: Int, features: Int, generator: Generator) throws {
    try EmbeddingOptions.table.check(
      EmbeddingOptions(count: count, features: features), "embedding")
    try self.init(weight: generator.normal([count, features]))
  }

  public static let kind = ModuleKind("embedding", EmbeddingOptions.table) {
    try Embedding(count: $0.count, features: $0.features, generator: $1.generator())
  }

  public override var ownParameters: [NamedTensor] { [("weight", weight)] }

  /// - Parameter codes: int32 of any shape.
  public override func forward(_ codes: Tensor) throws -> Tensor { try weight.gatherRows(codes) }
}
