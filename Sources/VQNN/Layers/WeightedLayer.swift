import VQTensor

/// A layer that computes with one weight, and a bias where there is one.
open class WeightedLayer: Module {
  public let weight: Tensor
  public let bias: Tensor?
  /// Maps the weight to the one that the forward computes with; the child "weight_quantizer".
  public var weightQuantizer: Module? {
    didSet { weightQuantizer?.isTraining = isTraining }
  }

  init(weight: Tensor, bias: Tensor?) throws {
    self.weight = try weight.requiringGrad(.weight)
    self.bias = try bias?.requiringGrad(.bias)
  }

  public override var ownParameters: [NamedTensor] {
    [("weight", weight)] + (bias.map { [("bias", $0)] } ?? [])
  }

  public override var children: [(name: String, module: Module)] {
    weightQuantizer.map { [("weight_quantizer", $0)] } ?? []
  }

  /// Inputs of an output, as PyTorch counts them.
  public var fanIn: Int { get throws { try Fan.input.count(weight.shape, "fan_in") } }

  /// The weight as the forward computes with it.
  public var quantizedWeight: Tensor {
    get throws { try weightQuantizer?.forward(weight) ?? weight }
  }
}

extension Module {
  /// Whether `module` is this one or below it.
  public func contains(_ module: Module) -> Bool {
    self === module || children.contains { $0.module.contains(module) }
  }

  /// The weighted layers of the tree, this one among them, by dotted name.
  public var weightedLayers: [(name: String, layer: WeightedLayer)] {
    var result: [(name: String, layer: WeightedLayer)] = []
    visit { prefix, module in
      if let layer = module as? WeightedLayer {
        result.append((String(prefix.dropLast()), layer))
      }
    }
    return result
  }
}
