import Glibc
import VQTensor

/// An estimator on a grid: h, alpha, M and its inverse.
public struct GridEstimator: Equatable, Sendable {
  public let estimator: WeightEstimator
  public let grid: UniformGrid
  private let samples: ReciprocalSamples?

  /// - Throws: `VQError` for parameters that make h negative, zero or infinite on the grid, and for one-bit
  ///   estimators on other grids.
  public init(_ estimator: WeightEstimator, on grid: UniformGrid) throws {
    try estimator.check(on: grid)
    (self.estimator, self.grid) = (estimator, grid)
    if case .sampled(let h, let cyclical) = estimator {
      samples = ReciprocalSamples(h, cyclical: cyclical)
    } else {
      samples = nil
    }
  }

  /// h(w); of EWGS, whose h depends on the gradient too, that of a gradient of 0.
  public func derivative(_ w: Double) -> Double {
    switch estimator {
    case .straightThrough: return 1
    case .clipped, .ewgs: return isInside(w) ? 1 : 0
    case .dsq:
      let c = cosh(kappa * (w - grid.boundary(near: w)))
      return isInside(w) ? cellSharpness / Glibc.tanh(cellSharpness) / (c * c) : 0
    case .cosine(let a):
      let t = w - grid.boundary(near: w)
      return isInside(w) ? 1 + a * cos(2 * .pi * t / grid.spacing) : 0
    case .tanh(let k): return k / (cosh(k * w) * cosh(k * w))
    case .sigmoid: return 0.25 / (cosh(w / 2) * cosh(w / 2))
    case .arctan: return 1 / (1 + w * w)
    case .approxSign: return max(0, 2 - 2 * abs(w))
    case .reste(let o, let cap): return pow(max(abs(w), cap), (1 - o) / o) / o
    case .mad: return isInside(w) ? 1 : grid.bound / abs(w)
    case .errorDecay(let progress):
      let t = errorDecaySharpness(progress)
      return max(1, t) / (cosh(t * w) * cosh(t * w))
    case .sampled: return isInside(w) ? samples!.value(at: sampledPlace(w)) : 0
    }
  }

  /// Why no start and rate make the straight-through estimator train like this one under SGD; nil when
  /// they do.
  public var obstacle: String? {
    switch estimator {
    case .ewgs: return "its factor depends on the gradient's sign, so it has no warp"
    case .errorDecay: return "it is annealed, so it has no lasting warp"
    case .sampled:
      // M fixes a boundary by definition, and its neighbours if h is the same on both sides.
      let boundaries = (0..<grid.cells).map { (Double($0) + 0.5) * grid.spacing - grid.bound }
      for place in boundaries + [-grid.bound, grid.bound] {
        let moved = sampledWarp(place)
        guard abs(moved - place) > 1e-6 * grid.spacing else { continue }
        let what = abs(place) < grid.bound ? "boundary" : "end of the grid"
        return "it is uneven: its warp moves the \(what) \(place) to \(moved)"
      }
      return nil
    default: return nil
    }
  }

  /// What the rate of the straight-through model is multiplied by, the harmonic mean of h over a cell; 1 for
  /// one-bit estimators, which the warp alone describes.
  ///
  /// - Throws: `.misuse` for EWGS and error decay.
  public var alpha: Double {
    get throws {
      switch estimator {
      case .dsq:
        let e = cellSharpness
        return 2 * e * e / Glibc.tanh(e) / (e + sinh(e) * cosh(e))
      case .cosine(let a): return (1 - a * a).squareRoot()
      case .sampled: return sampledAlpha
      case .ewgs, .errorDecay: throw VQError.misuse(estimator.name, "no alpha: \(obstacle!)")
      default: return 1
      }
    }
  }

  /// M(w), increasing; Q(M(w)) = Q(w) where there is no `obstacle`.
  ///
  /// - Throws: `.misuse` for EWGS and error decay.
  public func warp(_ w: Double) throws -> Double {
    switch estimator {
    case .straightThrough, .clipped: return w
    case .dsq:
      guard isInside(w) else { return w }
      let (e, b) = (cellSharpness, grid.boundary(near: w))
      let v = kappa * (w - b)
      return b + (try alpha) * Glibc.tanh(e) / (2 * e * kappa) * (v + sinh(v) * cosh(v))
    case .cosine(let a):
      guard isInside(w) else { return w }
      let b = grid.boundary(near: w)
      // atan2 goes on where rounding puts w beyond the edge of the cell; atan of a tangent jumps.
      let (slope, angle) = (((1 - a) / (1 + a)).squareRoot(), .pi * (w - b) / grid.spacing)
      return b + grid.spacing / .pi * atan2(slope * sin(angle), cos(angle))
    case .tanh(let k): return (k * w + sinh(k * w) * cosh(k * w)) / (2 * k * k)
    case .sigmoid: return 2 * w + 2 * sinh(w)
    case .arctan: return w + w * w * w / 3
    case .approxSign:
      // Beyond its last weight with a gradient M goes on with slope 1.
      let last = 1 - 0x1p-24
      let inside = min(abs(w), last)
      return copysign(-0.5 * log1p(-inside) + abs(w) - inside, w)
    case .reste(let o, let cap):
      func power(_ x: Double) -> Double { o * o / (2 * o - 1) * pow(x, (2 * o - 1) / o) }
      let below = min(abs(w), cap) * o * pow(cap, (o - 1) / o)
      return copysign(below + (abs(w) > cap ? power(abs(w)) - power(cap) : 0), w)
    case .mad:
      let bound = grid.bound
      return isInside(w) ? w : copysign((w * w + bound * bound) / (2 * bound), w)
    case .sampled: return sampledWarp(w)
    case .ewgs, .errorDecay: throw VQError.misuse(estimator.name, "no warp: \(obstacle!)")
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

  private func isInside(_ w: Double) -> Bool { abs(w) <= grid.bound }

  /// DSQ's sharpness a unit of w.
  var kappa: Double {
    guard case .dsq(let sharpness) = estimator else { return 0 }
    return sharpness / grid.bound
  }

  /// e, DSQ's sharpness over half a cell.
  var cellSharpness: Double { kappa * grid.spacing / 2 }

  func errorDecaySharpness(_ progress: Double) -> Double { pow(10, 2 * progress - 1) }
}

// MARK: - Samples

extension GridEstimator {
  private var isCyclical: Bool { samples!.isCyclical }

  /// Where w lies in what the samples span, 0...1.
  private func sampledPlace(_ w: Double) -> Double {
    isCyclical
      ? min(max((w - grid.boundary(near: w)) / grid.spacing + 0.5, 0), 1)
      : (grid.clipped(w) + grid.bound) / (2 * grid.bound)
  }

  /// The integral of 1 / h from the left end of what the samples span to w.
  private func sampledIntegral(to w: Double) -> Double {
    samples!.integral(to: sampledPlace(w)) * (isCyclical ? grid.spacing : 2 * grid.bound)
  }

  private var sampledAlpha: Double {
    guard !isCyclical, grid.cells > 1 else { return 1 / samples!.integral(to: 1) }
    let outer = grid.bound - grid.spacing / 2
    return 2 * outer / (sampledIntegral(to: outer) - sampledIntegral(to: -outer))
  }

  private func sampledWarp(_ w: Double) -> Double {
    let (inside, fixed) = (grid.clipped(w), grid.boundary(near: isCyclical ? w : 0))
    let integral = sampledIntegral(to: inside) - sampledIntegral(to: fixed)
    return fixed + sampledAlpha * integral + (w - inside)
  }
}

/// h at equally spaced points of 0...1, linear between them, and the exact integral of 1 / h.
private struct ReciprocalSamples: Equatable, Sendable {
  let isCyclical: Bool
  private let h: [Double]
  /// From 0 to each sample.
  private let integrals: [Double]

  init(_ h: [Double], cyclical: Bool) {
    var integrals = [0.0]
    for (left, right) in zip(h, h.dropFirst()) {
      let segment = reciprocalIntegral(from: left, to: right, over: 1)
      integrals.append(integrals.last! + segment / Double(h.count - 1))
    }
    (self.h, self.integrals, isCyclical) = (h, integrals, cyclical)
  }

  /// The sample to the left of x, and how far x is from it to the next.
  private func segment(_ x: Double) -> (left: Int, rest: Double) {
    let position = x * Double(h.count - 1)
    // NaN goes to the last segment.
    let left = position < Double(h.count - 2) ? Int(position) : h.count - 2
    return (left, position - Double(left))
  }

  func value(at x: Double) -> Double {
    let (left, rest) = segment(x)
    return h[left] + rest * (h[left + 1] - h[left])
  }

  func integral(to x: Double) -> Double {
    let (left, rest) = segment(x)
    let part = reciprocalIntegral(from: h[left], to: h[left + 1], over: rest)
    return integrals[left] + part / Double(h.count - 1)
  }
}

/// The integral of 1 / (a + (b - a) s) for s from 0 to `length`.
private func reciprocalIntegral(from a: Double, to b: Double, over length: Double) -> Double {
  let x = (b - a) / a * length
  return length / a * (x == 0 ? 1 : log1p(x) / x)
}
