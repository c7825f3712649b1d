import VQKernels
import VQTensor

/// Where the bound of a weight quantizer's grid comes from.
public enum WeightRange: String, CaseIterable, Sendable {
  /// The largest absolute weight: nothing is clipped.
  case largest = "max"
  /// The least mean squared error of Q(w), of 40 bounds up to the largest absolute weight.
  case leastError = "mse"
  /// He's bound for weights as they were made; of weights that were given or trained, the largest
  /// absolute value where its mean squared error is below three quarters of that of He's bound.
  case automatic = "auto"

  public init(named name: String) throws {
    guard let range = Self(rawValue: name) else {
      throw VQError.value(
        "weight_quantizer", "range", "'\(name)'",
        "it must be one of \(Self.allCases.map(\.rawValue))")
    }
    self = range
  }
}

extension WeightRange {
  /// The bound for `weights`, He's where all are zero.
  ///
  /// - Parameter isGiven: whether the weights are others than those that the layer was made with.
  func bound(
    of weights: UnsafeBufferPointer<Float>, he: Double, bits: Int, isGiven: Bool
  ) throws -> Double {
    let largest = weights.reduce(0.0) { max($0, abs(Double($1))) }
    guard largest >= 1e-30, largest <= 1e30 else { return he }
    func error(_ bound: Double) throws -> Double {
      squaredError(
        try UniformGrid(bits: bits, bound: bound).geometry, weights.baseAddress!,
        count: weights.count)
    }
    switch self {
    case .largest: return largest
    case .leastError:
      var best = (bound: largest, error: try error(largest))
      for step in 1..<40 {
        let bound = largest * Double(step) / 40
        let found = bound >= 1e-30 ? try error(bound) : .infinity
        if found < best.error { best = (bound, found) }
      }
      return best.bound
    case .automatic:
      guard isGiven else { return he }
      return try error(largest) < 0.75 * error(he) ? largest : he
    }
  }
}
