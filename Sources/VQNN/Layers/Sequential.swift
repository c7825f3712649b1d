import VQTensor

/// Layers one after the other; the children are named "0", "1", ...
///
/// A `BatchNorm` directly followed by a `ReLU` runs as one operator, and so does a `ReLU` followed
/// by a pool.
public final class Sequential: Module {
  public let layers: [Module]

  public init(_ layers: [Module]) { self.layers = layers }

  public static let kind = ModuleKind("sequential") { Sequential($0.children) }

  public convenience init(_ layers: Module...) { self.init(layers) }

  public override var children: [(name: String, module: Module)] {
    layers.enumerated().map { ("\($0.offset)", $0.element) }
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    var x = x
    var index = 0
    while index < layers.count {
      if let norm = layers[index] as? BatchNorm, index + 1 < layers.count,
        layers[index + 1] is ReLU
      {
        x = try norm.forward(x, fusedReLU: true)
        index += 2
      } else if layers[index] is ReLU, index + 1 < layers.count,
        let pool = layers[index + 1] as? Pool
      {
        x = try pool.forwardRectified(x)
        index += 2
      } else {
        x = try layers[index].forward(x)
        index += 1
      }
    }
    return x
  }
}

/// `x + body(x)`
public final class Residual: Module {
  public let body: Module

  public init(_ body: Module) { self.body = body }

  public static let kind = ModuleKind("residual") { Residual(try $0.child()) }

  public override var children: [(name: String, module: Module)] { [("body", body)] }

  public override func forward(_ x: Tensor) throws -> Tensor {
    let change = try body.forward(x)
    guard change.shape == x.shape else {
      throw VQError.shape("residual", [x.shape, change.shape], "the body must keep the shape")
    }
    return try x + change
  }
}
