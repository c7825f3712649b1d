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
  /// boundary, e = k D / (2 bound) (Gong et al. 2019).
  case dsq(sharpness: Double)
  /// 1 + a cos(2 pi t / D).
  case cosine(amplitude: Double)
  /// k sech^2(k w), 1 bit.
  case tanh(sharpness: Double)
  /// sech^2(w / 2) / 4, 1 bit.
  case sigmoid
  /// 1 / (1 + w^2), 1 bit.
  case arctan
  /// 2 - 2 |w| for |w| < 1, 1 bit (Bi-Real, Liu et al. 2018).
  case approxSign
  /// |w|^((1 - o) / o) / o, for |w| below `cap` its value there, 1 bit (Wu et al. 2023).
  case reste(power: Double, cap: Double)
  /// Magnitude-aware differentiation: 1 on the grid, bound / |w| beyond it (Sakr et al. 2022).
  case mad
  /// Element-wise gradient scaling: 1 + strength sign(g) (w - Q(w)) / (D / 2), 0 beyond the grid (Lee et
  /// al. 2021, whose delta is strength / (D / 2)).
  case ewgs(strength: Double)
  /// Error decay: k t sech^2(t w), t = 10^(2 progress - 1), k = max(1 / t, 1), 1 bit; `progress` goes from
  /// 0 to 1 in training (IR-Net, Qin et al. 2020).
  case errorDecay(progress: Double)
  /// h at equally spaced points, both ends included, linear between them and 0 beyond the grid: of one
  /// cell, the same in all of them, or of the whole grid.
  case sampled([Double], cyclical: Bool)
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
    case .mad: "mad"
    case .ewgs: "ewgs"
    case .errorDecay: "ede"
    case .sampled: "sampled"
    }
  }

  /// One boundary, at 0, and not the same in every cell.
  public var isOneBit: Bool {
    switch self {
    case .tanh, .sigmoid, .arctan, .approxSign, .reste, .errorDecay: true
    default: false
    }
  }

  /// The straight-through estimator that trains like it: clipped where this one is 0 beyond the grid.
  public var straightThroughPartner: WeightEstimator {
    switch self {
    case .clipped, .dsq, .cosine, .ewgs, .sampled: .clipped
    default: .straightThrough
    }
  }

  /// - Throws: `VQError` for parameters that make h negative, zero or infinite on the grid, and for one-bit
  ///   estimators on other grids.
  func check(on grid: UniformGrid) throws {
    func require(_ condition: Bool, _ name: String, _ value: Double, _ rule: String) throws {
      guard condition else { throw VQError.value(self.name, name, "\(value)", rule) }
    }
    switch self {
    case .straightThrough, .clipped, .sigmoid, .arctan, .approxSign, .mad: break
    case .dsq(let sharpness):
      // alpha, of the order of e^(-2 sharpness / cells), is a float32 then.
      let limit = 40 * Double(grid.cells)
      try require(
        sharpness > 0 && sharpness <= limit, "sharpness", sharpness,
        "must be positive and at most \(limit)")
    case .cosine(let amplitude):
      try require(abs(amplitude) < 1, "amplitude", amplitude, "must be between -1 and 1")
    case .tanh(let sharpness):
      try require(
        sharpness > 0 && sharpness * grid.bound <= 40, "sharpness", sharpness,
        "must be positive and at most 40 / bound")
    case .reste(let power, let cap):
      try require(power >= 1 && power.isFinite, "power", power, "must be at least 1")
      try require(cap > 0 && cap.isFinite, "cap", cap, "must be positive and finite")
    case .ewgs(let strength):
      try require(strength >= 0 && strength < 1, "strength", strength, "must be in 0..<1")
    case .errorDecay(let progress):
      try require(progress >= 0 && progress <= 1, "progress", progress, "must be in 0...1")
    case .sampled(let h, _):
      try require(h.count >= 2, "samples", Double(h.count), "must be at least 2")
      for (index, value) in h.enumerated() where !(value > 0 && value.isFinite) {
        throw VQError.value(
          name, "samples[\(index)]", "\(value)", "every sample must be positive and finite")
      }
    }
    guard !isOneBit || grid.bits == 1 else {
      throw VQError.value(name, "bits", "\(grid.bits)", "must be 1: the estimator has one boundary")
    }
  }
}
