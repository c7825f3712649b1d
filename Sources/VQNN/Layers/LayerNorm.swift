import VQTensor

/// The options of a `LayerNorm` or an `RMSNorm`.
public struct LayerNormOptions {
  /// The sizes of the axes that are normalized over.
  public var shape: [Int] = []
  public var epsilon: Float = 1e-5
  /// Whether there is a bias; an `RMSNorm` has none.
  public var hasBias = true

  /// Of an `RMSNorm`.
  public static let scaleTable = OptionTable(LayerNormOptions()) {
    Option(
      "normalized_shape", \.shape,
      OptionRule("one axis or more, each at least 1, is required") {
        !$0.isEmpty && $0.allSatisfy { $0 >= 1 }
      }, isRequired: true)
    Option("eps", \.epsilon, .aboveZero)
  }
  public static let table = OptionTable(LayerNormOptions()) {
    scaleTable.rows
    Option("bias", \.hasBias)
  }
}

/// Normalizes each sample over its last axes (Ba et al. 2016):
/// `y = (x - mean) / sqrt(var + epsilon) * weight + bias`, the variance biased.
public final class LayerNorm: Module {
  /// The sizes of the axes that are normalized over, which weight and bias have too.
  public let shape: [Int]
  public let weight: Tensor
  public let bias: Tensor?
  public let epsilon: Float

  public init(_ shape: [Int], epsilon: Float = 1e-5, bias hasBias: Bool = true) throws {
    try LayerNormOptions.table.check(
      LayerNormOptions(shape: shape, epsilon: epsilon), "layer_norm")
    self.shape = shape
    self.epsilon = epsilon
    weight = try Tensor.ones(shape).requiringGrad(.norm)
    bias = hasBias ? try Tensor.zeros(shape).requiringGrad(.norm) : nil
  }

  public static let kind = ModuleKind("layer_norm", LayerNormOptions.table) { options, _ in
    try LayerNorm(options.shape, epsilon: options.epsilon, bias: options.hasBias)
  }

  public override var ownParameters: [NamedTensor] {
    [("weight", weight)] + (bias.map { [("bias", $0)] } ?? [])
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    try x.layerNorm(over: shape, weight: weight, bias: bias, epsilon: epsilon)
  }
}

/// Scales each sample over its last axes to a mean square of 1 (Zhang and Sennrich 2019):
/// `y = x / sqrt(mean(x^2) + epsilon) * weight`.
public final class RMSNorm: Module {
  public let shape: [Int]
  public let weight: Tensor
  public let epsilon: Float

  public init(_ shape: [Int], epsilon: Float = 1e-5) throws {
    try LayerNormOptions.scaleTable.check(
      LayerNormOptions(shape: shape, epsilon: epsilon), "rms_norm")
    self.shape = shape
    self.epsilon = epsilon
    weight = try Tensor.ones(shape).requiringGrad(.norm)
  }

  public static let kind = ModuleKind("rms_norm", LayerNormOptions.scaleTable) { options, _ in
    try RMSNorm(options.shape, epsilon: options.epsilon)
  }

  public override var ownParameters: [NamedTensor] { [("weight", weight)] }

  public override func forward(_ x: Tensor) throws -> Tensor {
    try x.rmsNorm(over: shape, weight: weight, epsilon: epsilon)
  }
}
