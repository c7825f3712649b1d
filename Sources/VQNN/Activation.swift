import VQTensor

/// `max(x, 0)`
public final class ReLU: Module {
  public override func forward(_ x: Tensor) throws -> Tensor { try x.relu() }
}

/// `x Phi(x)`, exact.
public final class GELU: Module {
  public override func forward(_ x: Tensor) throws -> Tensor { try x.gelu() }
}

/// `x sigmoid(x)`
public final class SiLU: Module {
  public override func forward(_ x: Tensor) throws -> Tensor { try x.silu() }
}

public final class Tanh: Module {
  public override func forward(_ x: Tensor) throws -> Tensor { try x.tanh() }
}

public final class Sigmoid: Module {
  public override func forward(_ x: Tensor) throws -> Tensor { try x.sigmoid() }
}

/// `exp(x) / sum exp(x)` along one axis.
public final class Softmax: Module {
  public let axis: Int

  public init(axis: Int = -1) { self.axis = axis }

  public override func forward(_ x: Tensor) throws -> Tensor { try x.softmax(axis: axis) }
}

/// Returns its input.
public final class Identity: Module {
  public override func forward(_ x: Tensor) throws -> Tensor { x }
}

/// Joins the axes from `start` on: [n, h, w, c] to [n, h * w * c].
public final class Flatten: Module {
  public let start: Int

  public init(start: Int = 1) throws {
    guard start >= 0 else {
      throw VQError.value("flatten", "start_dim", "\(start)", "must be at least 0")
    }
    self.start = start
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    guard x.rank > start else {
      throw VQError.shape("flatten", [x.shape], "an axis \(start) is required")
    }
    return try x.reshape(x.shape.prefix(start) + [x.shape.dropFirst(start).reduce(1, *)])
  }
}
