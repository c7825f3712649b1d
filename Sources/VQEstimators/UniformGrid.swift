import VQTensor

/// The grid of the uniform weight quantizer (Schoenbauer et al. 2024): 2^bits values from `-bound`
/// to `bound`, D = 2 * bound / (2^bits - 1) apart.
///
/// A cell lies between neighbors of the grid, a boundary in its middle: Q changes there.
public struct UniformGrid: Equatable, Sendable {
  public let bits: Int
  public let bound: Double

  /// - Throws: `VQError` unless `bits` is from 1 to 16 and `bound` from 1e-30 to 1e30.
  public init(bits: Int, bound: Double) throws {
    guard (1...16).contains(bits) else {
      throw VQError.value("uniform_grid", "bits", "\(bits)", "must be from 1 to 16")
    }
    guard bound >= 1e-30, bound <= 1e30 else {
      throw VQError.value(
        "uniform_grid", "bound", "\(bound)", "must be positive, from 1e-30 to 1e+30")
    }
    (self.bits, self.bound) = (bits, bound)
  }

  /// The bound of He's uniform initialization, sqrt(6 / fanIn).
  public init(bits: Int, fanIn: Int) throws {
    guard fanIn >= 1 else {
      throw VQError.value("uniform_grid", "fan_in", "\(fanIn)", "must be at least 1")
    }
    try self.init(bits: bits, bound: (6 / Double(fanIn)).squareRoot())
  }

  /// Cells between the 2^bits values, and the boundaries in them.
  public var cells: Int { (1 << bits) - 1 }

  /// D.
  public var spacing: Double { 2 * bound / Double(cells) }

  /// Q(w) = D round((clip(w) + bound) / D) - bound.
  public func quantized(_ w: Double) -> Double {
    let step = (clipped(w) + bound) / spacing
    return spacing * step.rounded(.toNearestOrEven) - bound
  }

  /// The boundary in the cell of w, `-bound + (i + 1/2) D`; the outermost one beyond the grid.
  public func boundary(near w: Double) -> Double {
    let cell = ((clipped(w) + bound) / spacing).rounded(.down)
    return (min(cell, Double(cells - 1)) + 0.5) * spacing - bound
  }

  func clipped(_ w: Double) -> Double { min(max(w, -bound), bound) }
}
