import CPlatform

extension Tensor {
  /// What `function` computes of `inputs`, without keeping the values inside it: backward computes
  /// them again (Chen et al. 2016), with the same random draws.
  ///
  /// Gradients reach the inputs and every leaf that the function reads. What else a forward writes,
  /// such as running statistics, it writes twice.
  ///
  /// - Parameter function: gives float32; called once now, and once in backward with recording on.
  public static func checkpoint(
    _ inputs: [Tensor], _ function: @escaping ([Tensor]) throws -> Tensor
  ) throws -> Tensor {
    let name = "checkpoint"
    guard gradientsAreRecorded else { return try function(inputs).detached() }
    let draws = DrawLog()
    let precision = ProductPrecision.current
    // The tape of the first run shows the leaves, and is dropped.
    let first = try draws.recording { try function(inputs.map { $0.detached() }) }
    try first.requireFloat(name)
    let leaves = first.tapeLeaves
    let saved = inputs.map { Saved($0) }
    let shape = first.shape
    let nodes = inputs.map(\.tapeNode) + leaves
    guard nodes.contains(where: { $0 != nil }) else { return first.detached() }
    let node = Node(name, inputs: nodes) { gradient, needs in
      let again = try zip(saved, needs).map { value, isNeeded in
        let input = try value.tensor(name)
        return isNeeded ? try input.requiringGrad() : input
      }
      let result = try draws.repeating {
        try precision.within { try withGradients { try function(again) } }
      }
      guard result.shape == shape, result.dtype == .float32 else {
        throw VQError.shape(
          name, [shape, result.shape], "the function must give the same shape in backward")
      }
      let wanted = zip(again.map(\.tapeNode) + leaves, needs).map { $1 ? $0 : nil }
      let found = try result.gradients(at: wanted.compactMap { $0 }, gradient)
      return wanted.map { node in node.flatMap { found[ObjectIdentifier($0)] } }
    }
    return Tensor(shape: shape, storage: first.storage, node: node)
  }
}
