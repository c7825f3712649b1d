import VQTensor

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
    try Initializer.require("embedding", ["num_embeddings": count, "embedding_dim": features])
    try self.init(weight: generator.normal([count, features]))
  }

  public override var ownParameters: [NamedTensor] { [("weight", weight)] }

  /// - Parameter codes: int32 of any shape.
  public override func forward(_ codes: Tensor) throws -> Tensor { try weight.gatherRows(codes) }
}
