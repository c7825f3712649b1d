import Glibc
import VQTensor

/// A gradient estimator for quantized weights: h(w) stands in the place of Q'(w) in the backward pass.
///
/// Under SGD it trains as the straight-through estimator does at `alpha` times the rate from the start
/// M(w) (Schoenbauer, Moro, Lew and Howard 2024): alpha = D / integral over a cell of ds / h(s), and
/// M(w) = b + alpha * integral from b to w of ds / h(s) with the boundary b of the cell.
public enum WeightEstimator: Equatable, Sendable {
  /// 1 everywhere.
  case straightThrough
  /// 1 on the grid, 0 beyond it.
  case clipped
  /// Differentiable soft quantization, a tanh in each cell: e coth(e) sech^2(k t / bound) at t from the
  /// boundary, e = k D / (2 bound).
  case dsq(sharpness: Double)
  /// 1 + a cos(2 pi t / D).
  case cosine(amplitude: Double)
  /// k sech^2(k w), 1 bit.
  case tanh(sharpness: Double)
  /// sech^2(w / 2) / 4, 1 bit.
  case sigmoid
  /// 1 / (1 + w^2), 1 bit.
  case arctan
  /// 2 - 2 |w| for |w| < 1 (Bi-Real), 1 bit.
  case approxSign
  /// |w|^((1 - o) / o) / o, for |w| below `cap` its value there, 1 bit.
  case reste(power: Double, cap: Double)
  /// h at equally spaced points of a cell, its two edges included, the same in every cell; linear between
  /// them, 0 beyond the grid.
  case sampled([Double])
}

/// An estimator on a grid: h, alpha, M and its inverse.
public struct GridEstimator: Equatable, Sendable {
  public let estimator: WeightEstimator
  public let grid: UniformGrid
  /// Of a sampled estimator, the integral of 1 / h from the left edge of a cell to each sample, in cells.
  private let integrals: [Double]

  /// - Throws: `VQError` for parameters that make h negative, zero or infinite on the grid, and for one-bit
  ///   estimators on other grids.
  public init(_ estimator: WeightEstimator, on grid: UniformGrid) throws {
    func require(_ condition: Bool, _ name: String, _ value: Double, _ rule: String) throws {
      guard condition else { throw VQError.value(estimator.name, name, "\(value)", rule) }
    }
    switch estimator {
    case .straightThrough, .clipped: break
    case .dsq(let sharpness):
      // sinh(300)^2 is finite.
      let limit = 300 * Double(grid.cells)
      try require(
        sharpness > 0 && sharpness <= limit, "sharpness", sharpness,
        "must be positive and at most \(limit)")
    case .cosine(let amplitude):
      try require(abs(amplitude) < 1, "amplitude", amplitude, "must be between -1 and 1")
    case .tanh(let sharpness):
      try require(
        sharpness > 0 && sharpness * grid.bound <= 300, "sharpness", sharpness,
        "must be positive and at most 300 / bound")
    case .reste(let power, let cap):
      try require(power >= 1 && power.isFinite, "power", power, "must be at least 1")
      try require(cap > 0 && cap.isFinite, "cap", cap, "must be positive and finite")
    case .sigmoid, .arctan, .approxSign: break
    case .sampled(let h):
      try require(h.count >= 2, "samples", Double(h.count), "must be at least 2")
      for value in h {
        try require(
          value > 0 && value.isFinite, "sample", value, "every sample must be positive and finite")
      }
    }
    guard !estimator.isOneBit || grid.bits == 1 else {
      throw VQError.value(
        estimator.name, "bits", "\(grid.bits)", "must be 1: the estimator has one boundary")
    }
    (self.estimator, self.grid) = (estimator, grid)
    guard case .sampled(let h) = estimator else {
      integrals = []
      return
    }
    var integrals = [0.0]
    for (left, right) in zip(h, h.dropFirst()) {
      let segment = reciprocalIntegral(from: left, to: right, over: 1)
      integrals.append(integrals.last! + segment / Double(h.count - 1))
    }
    self.integrals = integrals
  }

  /// h(w).
  public func derivative(_ w: Double) -> Double {
    switch estimator {
    case .straightThrough: return 1
    case .clipped: return isInside(w) ? 1 : 0
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
    case .sampled(let h):
      let (left, rest) = place(w, samples: h.count)
      return isInside(w) ? h[left] + rest * (h[left + 1] - h[left]) : 0
    }
  }

  /// What the rate of the straight-through model is multiplied by, the harmonic mean of h over a cell; 1 for
  /// one-bit estimators, which the warp alone describes.
  public var alpha: Double {
    switch estimator {
    case .dsq:
      let e = cellSharpness
      return 2 * e * e / Glibc.tanh(e) / (e + sinh(e) * cosh(e))
    case .cosine(let a): return (1 - a * a).squareRoot()
    case .sampled: return 1 / integrals.last!
    default: return 1
    }
  }

  /// M(w), increasing, with Q(M(w)) = Q(w).
  public func warp(_ w: Double) -> Double {
    switch estimator {
    case .straightThrough, .clipped: return w
    case .dsq:
      guard isInside(w) else { return w }
      let (e, b) = (cellSharpness, grid.boundary(near: w))
      let v = kappa * (w - b)
      return b + alpha * Glibc.tanh(e) / (2 * e * kappa) * (v + sinh(v) * cosh(v))
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
    case .sampled(let h):
      let (inside, boundary) = (grid.clipped(w), grid.boundary(near: w))
      let integral = sampledIntegral(h, to: inside) - sampledIntegral(h, to: boundary)
      return boundary + alpha * grid.spacing * integral + (w - inside)
    }
  }

  /// The w with M(w) = u, to the last bits of a Float64.
  public func inverseWarp(_ u: Double) -> Double {
    var (low, high) = (min(u, -grid.bound), max(u, grid.bound))
    while warp(low) > u { low *= 2 }
    while warp(high) < u { high *= 2 }
    while true {
      let middle = low + (high - low) / 2
      guard middle > low, middle < high else { return u - warp(low) <= warp(high) - u ? low : high }
      if warp(middle) < u { low = middle } else { high = middle }
    }
  }

  /// The sample to the left of w in its cell, and how far w is from it to the next.
  private func place(_ w: Double, samples: Int) -> (left: Int, rest: Double) {
    let place = min(max((w - grid.boundary(near: w)) / grid.spacing + 0.5, 0), 1)
    let position = place * Double(samples - 1)
    let left = min(Int(position), samples - 2)
    return (left, position - Double(left))
  }

  /// The integral of 1 / h from the left edge of the cell of w to w, in cells.
  private func sampledIntegral(_ h: [Double], to w: Double) -> Double {
    let (left, rest) = place(w, samples: h.count)
    let part = reciprocalIntegral(from: h[left], to: h[left + 1], over: rest)
    return integrals[left] + part / Double(h.count - 1)
  }

  private func isInside(_ w: Double) -> Bool { abs(w) <= grid.bound }

  /// DSQ's sharpness a unit of w.
  private var kappa: Double {
    guard case .dsq(let sharpness) = estimator else { return 0 }
    return sharpness / grid.bound
  }

  /// e, DSQ's sharpness over half a cell.
  private var cellSharpness: Double { kappa * grid.spacing / 2 }
}

extension WeightEstimator {
  /// Its name in Python.
  public var name: String {
    switch self {
    case .straightThrough: "ste"
    case .clipped: "clipped_ste"
    case .dsq: "dsq"
    case .cosine: "cosine"
    case .tanh: "tanh"
    case .sigmoid: "sigmoid"
    case .arctan: "arctan"
    case .approxSign: "approx_sign"
    case .reste: "reste"
    case .sampled: "sampled"
    }
  }

  /// One boundary, at 0, and not the same in every cell.
  public var isOneBit: Bool {
    switch self {
    case .tanh, .sigmoid, .arctan, .approxSign, .reste: true
    default: false
    }
  }
}

/// The integral of 1 / (a + (b - a) s) for s from 0 to `length`.
private func reciprocalIntegral(from a: Double, to b: Double, over length: Double) -> Double {
  let x = (b - a) / a * length
  return length / a * (x == 0 ? 1 : log1p(x) / x)
}
