import Glibc
import VQKernels
import VQTensor

/// An estimator on a grid: h, alpha, M and its inverse.
public struct GridEstimator: Equatable {
  public let estimator: WeightEstimator
  public let grid: UniformGrid
  private let form: EstimatorForm

  /// - Throws: `VQError` for parameters that make h negative, zero or infinite on the grid, and for
  ///   one-bit estimators on other grids.
  public init(_ estimator: WeightEstimator, on grid: UniformGrid) throws {
    (self.estimator, self.grid) = (estimator, grid)
    form = try estimator.kind.form(estimator.options, on: grid)
  }

  public static func == (a: GridEstimator, b: GridEstimator) -> Bool {
    a.estimator == b.estimator && a.grid == b.grid
  }

  /// h(w); of EWGS, whose h depends on the gradient too, that of a gradient of 0.
  public func derivative(_ w: Double) -> Double { form.derivative(w) }

  /// Why no start and rate make the straight-through estimator train like this one under SGD; nil
  /// when they do.
  public var obstacle: String? { form.obstacle }

  /// Whether it has alpha and M at all.
  public var hasWarp: Bool { form.hasWarp }

  /// What the rate of the straight-through model is multiplied by, the harmonic mean of h over a
  /// cell; 1 for one-bit estimators, which the warp alone describes.
  ///
  /// - Throws: `.misuse` for EWGS and error decay.
  public var alpha: Double {
    get throws {
      try requireWarp("alpha")
      return form.alpha
    }
  }

  /// M(w), increasing; Q(M(w)) = Q(w) where there is no `obstacle`.
  ///
  /// - Throws: `.misuse` for EWGS and error decay.
  public func warp(_ w: Double) throws -> Double {
    try requireWarp("warp")
    return form.warp(w)
  }

  private func requireWarp(_ what: String) throws {
    guard form.hasWarp else {
      throw VQError.misuse(estimator.name, "no \(what): \(form.obstacle ?? "it has none")")
    }
  }

  /// The w with M(w) = u, to the last bits of a Float64.
  public func inverseWarp(_ u: Double) throws -> Double {
    guard u.isFinite else { return u }
    var (low, high) = (min(u, -grid.bound), max(u, grid.bound))
    while try warp(low) > u { low *= 2 }
    while try warp(high) < u { high *= 2 }
    while true {
      let middle = low + (high - low) / 2
      guard middle > low, middle < high else {
        return try u - warp(low) <= warp(high) - u ? low : high
      }
      if try warp(middle) < u { low = middle } else { high = middle }
    }
  }

  /// h as the kernels take it.
  var kernel: EstimatorShape { form.kernel }

  /// The same on the grid of another bound; options that were left open follow it.
  func on(bound: Double) throws -> GridEstimator {
    try GridEstimator(estimator, on: UniformGrid(bits: grid.bits, bound: bound))
  }
}
