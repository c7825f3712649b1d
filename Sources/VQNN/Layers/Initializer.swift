import VQTensor

/// Which side of a weight scales its variance.
public enum Fan: Sendable {
  case input
  case output

  /// As PyTorch counts: [out, in, h, w] (or [out, in]) gives in * h * w and out * h * w, whatever
  /// the layer makes of the first two axes.
  func count(_ shape: [Int], _ operation: String) throws -> Int {
    guard shape.count >= 2 else {
      throw VQError.shape(operation, [shape], "a weight must have at least two axes")
    }
    _ = try Shape.count(shape, operation)
    let field = shape.dropFirst(2).reduce(1, *)
    return shape[self == .input ? 1 : 0] * field
  }
}

/// How a parameter begins.
public enum Initializer: Sendable {
  case constant(Float)
  /// Uniform in `[from, to)`.
  case uniform(from: Float = 0, to: Float = 1)
  case normal(mean: Float = 0, standardDeviation: Float = 1)
  /// Normal conditioned on lying between bounds that are given in standard deviations from the
  /// mean.
  case truncatedNormal(
    mean: Float = 0, standardDeviation: Float = 1, minimum: Float = -2, maximum: Float = 2)
  /// Standard deviation `gain / sqrt(fan)`, `gain = sqrt(2 / (1 + slope^2))` (He et al. 2015).
  case kaimingUniform(fan: Fan = .input, negativeSlope: Float = 0)
  case kaimingNormal(fan: Fan = .input, negativeSlope: Float = 0)
  /// Standard deviation `gain sqrt(2 / (in + out))` (Glorot and Bengio 2010).
  case xavierUniform(gain: Float = 1)
  case xavierNormal(gain: Float = 1)

  /// Draws a tensor of `shape`.
  ///
  /// - Throws: `.shape` for fewer than two axes where a fan is needed, `.value` for arguments that
  ///   are not finite.
  public func tensor(_ shape: [Int], generator: Generator) throws -> Tensor {
    switch self {
    case .constant(let value):
      return try Tensor.full(shape, value)
    case .uniform(let from, let to):
      return try generator.uniform(shape, from: from, to: to)
    case .normal(let mean, let deviation):
      return try generator.normal(shape, mean: mean, standardDeviation: deviation)
    case .truncatedNormal(let mean, let deviation, let minimum, let maximum):
      return try generator.truncatedNormal(
        shape, mean: mean, standardDeviation: deviation, minimum: minimum, maximum: maximum)
    case .kaimingUniform(let fan, let slope):
      let count = try fan.count(shape, "kaiming_uniform")
      return try Initializer.uniform(
        shape, deviation: Initializer.kaiming(slope, fan: count), generator)
    case .kaimingNormal(let fan, let slope):
      let count = try fan.count(shape, "kaiming_normal")
      return try generator.normal(
        shape, standardDeviation: Float(Initializer.kaiming(slope, fan: count)))
    case .xavierUniform(let gain):
      return try Initializer.uniform(
        shape, deviation: Initializer.xavier(gain, shape, "xavier_uniform"), generator)
    case .xavierNormal(let gain):
      return try generator.normal(
        shape, standardDeviation: Float(Initializer.xavier(gain, shape, "xavier_normal")))
    }
  }

  private static func kaiming(_ slope: Float, fan: Int) -> Double {
    (2 / (1 + Double(slope) * Double(slope)) / Double(max(fan, 1))).squareRoot()
  }

  private static func xavier(_ gain: Float, _ shape: [Int], _ operation: String) throws -> Double {
    let fans = try Fan.input.count(shape, operation) + Fan.output.count(shape, operation)
    return Double(gain) * (2 / Double(max(fans, 1))).squareRoot()
  }

  /// Uniform of mean 0: the bound is `sqrt(3)` standard deviations.
  private static func uniform(
    _ shape: [Int], deviation: Double, _ generator: Generator
  ) throws -> Tensor {
    let bound = Float(3.0.squareRoot() * deviation)
    return try generator.uniform(shape, from: -bound, to: bound)
  }
}

extension Initializer {
  /// PyTorch's start of linear and convolution layers: weight and bias uniform in
  /// `+-1 / sqrt(fan in)`.
  static func weightAndBias(
    _ operation: String, _ shape: [Int], outputs: Int?, generator: Generator
  ) throws -> (weight: Tensor, bias: Tensor?) {
    let fan = try Fan.input.count(shape, operation)
    let weight = try Initializer.kaimingUniform(negativeSlope: Float(5).squareRoot())
      .tensor(shape, generator: generator)
    let bound = 1 / Float(max(fan, 1)).squareRoot()
    let bias = try outputs.map { try generator.uniform([$0], from: -bound, to: bound) }
    return (weight, bias)
  }
}
