import Glibc
import VQKernels
import VQNN
import VQTensor

/// An estimator on a grid in closed form.
struct EstimatorForm {
  /// h(w); of one that depends on the gradient too, that of a gradient of 0.
  var derivative: (Double) -> Double
  /// What the rate of the straight-through model is multiplied by, the harmonic mean of h over a
  /// cell; 1 for one-bit estimators, which the warp alone describes.
  var alpha = 1.0
  /// M(w), increasing.
  var warp: (Double) -> Double
  /// h as the kernels take it.
  var kernel: EstimatorShape
  /// Why no start and rate make the straight-through estimator train like this one under SGD;
  /// without a warp there is no alpha either.
  var obstacle: String?
  var hasWarp = true
}

extension EstimatorForm {
  /// One whose straight-through partner is not found by a warp.
  static func withoutWarp(
    _ kernel: EstimatorShape, because obstacle: String, _ derivative: @escaping (Double) -> Double
  ) -> EstimatorForm {
    EstimatorForm(
      derivative: derivative, warp: { $0 }, kernel: kernel, obstacle: obstacle, hasWarp: false)
  }

  /// The same with an h of 0 beyond the grid.
  func cut(to grid: UniformGrid) -> EstimatorForm {
    var form = self
    form.derivative = { abs($0) <= grid.bound ? derivative($0) : 0 }
    return form
  }
}

/// A kind of estimator: its options, where it can stand, and its form on a grid.
struct EstimatorKind {
  /// One boundary, at 0, and not the same in every cell.
  let isOneBit: Bool
  /// Whether h is 0 beyond the grid, where the clipped straight-through estimator's is too.
  let isCut: Bool
  private let kind: Kind<UniformGrid, EstimatorForm>

  var name: String { kind.name }
  var options: [OptionDescription] { kind.options }

  init<Options>(
    _ name: String, isOneBit: Bool = false, isCut: Bool = false, _ table: OptionTable<Options>,
    _ make: @escaping (Options, UniformGrid) throws -> EstimatorForm
  ) {
    (self.isOneBit, self.isCut) = (isOneBit, isCut)
    kind = Kind(name, table) { options, grid in
      try table.check(options, name)
      guard !isOneBit || grid.bits == 1 else {
        throw VQError.value(
          name, "bits", "\(grid.bits)", "must be 1: the estimator has one boundary")
      }
      let form = try make(options, grid)
      return isCut ? form.cut(to: grid) : form
    }
  }

  /// A kind without options.
  init(
    _ name: String, isOneBit: Bool = false, isCut: Bool = false,
    _ make: @escaping (UniformGrid) -> EstimatorForm
  ) {
    self.init(name, isOneBit: isOneBit, isCut: isCut, OptionTable(()) {}) { _, grid in make(grid) }
  }

  func form(_ given: GivenOptions, on grid: UniformGrid) throws -> EstimatorForm {
    try kind.make(given, grid)
  }
}

private func squaredSech(_ x: Double) -> Double { 1 / (cosh(x) * cosh(x)) }

/// The integral of cosh^2 from 0 to x, twice.
private func doubledIntegral(_ x: Double) -> Double { x + sinh(x) * cosh(x) }

extension EstimatorKind {
  /// Every estimator that there is.
  static let catalogue: [EstimatorKind] = [
    straightThrough, clipped, dsq, cosine, tanh, sigmoid, arctan, approxSign, reste, mad, ewgs,
    errorDecay, sampled,
  ]

  static let straightThrough = EstimatorKind("ste") { _ in
    EstimatorForm(derivative: { _ in 1 }, warp: { $0 }, kernel: .one)
  }

  static let clipped = EstimatorKind("clipped_ste", isCut: true) { _ in
    EstimatorForm(derivative: { _ in 1 }, warp: { $0 }, kernel: .clipped)
  }

  struct Sharpness {
    var sharpness: Double?
    static let table = OptionTable(Sharpness()) { Option("sharpness", \.sharpness) }
  }

  static let dsq = EstimatorKind("dsq", isCut: true, Sharpness.table) { options, grid in
    let usual = [1: 2.0, 2: 5.5, 3: 10.5][grid.bits] ?? 1.2 * Double(grid.cells)
    let sharpness = options.sharpness ?? usual
    // alpha, of the order of e^(-2 sharpness / cells), is a float32 then.
    let limit = 40 * Double(grid.cells)
    try require(
      "dsq", sharpness > 0 && sharpness <= limit, "sharpness", sharpness,
      "must be positive and at most \(limit)")
    // A unit of w, and over half a cell.
    let kappa = sharpness / grid.bound
    let e = kappa * grid.spacing / 2
    let factor = e / Glibc.tanh(e)
    let alpha = 2 * e * e / Glibc.tanh(e) / doubledIntegral(e)
    return EstimatorForm(
      derivative: { factor * squaredSech(kappa * ($0 - grid.boundary(near: $0))) }, alpha: alpha,
      warp: {
        guard abs($0) <= grid.bound else { return $0 }
        let b = grid.boundary(near: $0)
        return b + alpha * Glibc.tanh(e) / (2 * e * kappa) * doubledIntegral(kappa * ($0 - b))
      },
      kernel: .cellSech(sharpness: Float(2 * e), factor: Float(factor)))
  }

  struct Amplitude {
    var amplitude = 0.75
    static let table = OptionTable(Amplitude()) {
      Option("amplitude", \.amplitude, OptionRule("must be between -1 and 1") { abs($0) < 1 })
    }
  }

  static let cosine = EstimatorKind("cosine", isCut: true, Amplitude.table) { options, grid in
    let a = options.amplitude
    let slope = ((1 - a) / (1 + a)).squareRoot()
    return EstimatorForm(
      derivative: { 1 + a * cos(2 * .pi * ($0 - grid.boundary(near: $0)) / grid.spacing) },
      alpha: (1 - a * a).squareRoot(),
      warp: {
        guard abs($0) <= grid.bound else { return $0 }
        let b = grid.boundary(near: $0)
        // atan2 goes on where rounding puts w beyond the edge of the cell; atan of a tangent jumps.
        let angle = .pi * ($0 - b) / grid.spacing
        return b + grid.spacing / .pi * atan2(slope * sin(angle), cos(angle))
      },
      kernel: .cellCosine(amplitude: Float(a)))
  }

  static let tanh = EstimatorKind("tanh", isOneBit: true, Sharpness.table) { options, grid in
    let k = options.sharpness ?? 2 / grid.bound
    try require(
      "tanh", k > 0 && k * grid.bound <= 40, "sharpness", k,
      "must be positive and at most 40 / bound")
    return EstimatorForm(
      derivative: { k * squaredSech(k * $0) }, warp: { doubledIntegral(k * $0) / (2 * k * k) },
      kernel: .sech(sharpness: Float(k), factor: Float(k)))
  }

  static let sigmoid = EstimatorKind("sigmoid", isOneBit: true) { _ in
    EstimatorForm(
      derivative: { 0.25 * squaredSech($0 / 2) }, warp: { 2 * $0 + 2 * sinh($0) },
      kernel: .sech(sharpness: 0.5, factor: 0.25))
  }

  static let arctan = EstimatorKind("arctan", isOneBit: true) { _ in
    EstimatorForm(
      derivative: { 1 / (1 + $0 * $0) }, warp: { $0 + $0 * $0 * $0 / 3 }, kernel: .arctan)
  }

  static let approxSign = EstimatorKind("approx_sign", isOneBit: true) { _ in
    EstimatorForm(
      derivative: { max(0, 2 - 2 * abs($0)) },
      warp: { w in
        // Beyond its last weight with a gradient M goes on with slope 1.
        let inside = min(abs(w), 1 - 0x1p-24)
        return copysign(-0.5 * log1p(-inside) + abs(w) - inside, w)
      },
      kernel: .approxSign)
  }

  struct Power {
    var power = 3.0
    /// A tenth of the bound unless given.
    var cap: Double?
    static let table = OptionTable(Power()) {
      Option("power", \.power, OptionRule("must be at least 1") { $0 >= 1 && $0.isFinite })
      Option("cap", \.cap)
    }
  }

  static let reste = EstimatorKind("reste", isOneBit: true, Power.table) { options, grid in
    let (o, cap) = (options.power, options.cap ?? grid.bound / 10)
    try require("reste", cap > 0 && cap.isFinite, "cap", cap, "must be positive and finite")
    func integral(_ x: Double) -> Double { o * o / (2 * o - 1) * pow(x, (2 * o - 1) / o) }
    return EstimatorForm(
      derivative: { pow(max(abs($0), cap), (1 - o) / o) / o },
      warp: { w in
        let below = min(abs(w), cap) * o * pow(cap, (o - 1) / o)
        return copysign(below + (abs(w) > cap ? integral(abs(w)) - integral(cap) : 0), w)
      },
      kernel: .power(exponent: Float((1 - o) / o), cap: Float(cap), factor: Float(1 / o)))
  }

  static let mad = EstimatorKind("mad") { grid in
    let bound = grid.bound
    return EstimatorForm(
      derivative: { abs($0) <= bound ? 1 : bound / abs($0) },
      warp: { abs($0) <= bound ? $0 : copysign(($0 * $0 + bound * bound) / (2 * bound), $0) },
      kernel: .mad)
  }

  struct Strength {
    var strength = 0.2
    static let table = OptionTable(Strength()) { Option("strength", \.strength, .belowOne) }
  }

  static let ewgs = EstimatorKind("ewgs", isCut: true, Strength.table) { options, _ in
    .withoutWarp(
      .errorWise(strength: Float(options.strength)),
      because: "its factor depends on the gradient's sign, so it has no warp"
    ) { _ in 1 }
  }

  struct Progress {
    var progress = 0.0
    static let table = OptionTable(Progress()) { Option("progress", \.progress, .fraction) }
  }

  static let errorDecay = EstimatorKind("ede", isOneBit: true, Progress.table) { options, _ in
    let t = pow(10, 2 * options.progress - 1)
    return .withoutWarp(
      .sech(sharpness: Float(t), factor: Float(max(1, t))),
      because: "it is annealed, so it has no lasting warp"
    ) { max(1, t) * squaredSech(t * $0) }
  }

  struct Samples {
    var values = OptionNumbers([])
    var isCyclical = true
    static let table = OptionTable(Samples()) {
      Option("samples", \.values, isRequired: true)
      Option("cyclical", \.isCyclical)
    }
  }

  static let sampled = EstimatorKind("sampled", isCut: true, Samples.table) { options, grid in
    try SampledForm(options.values.values, isCyclical: options.isCyclical, on: grid).form
  }
}

/// Throws unless an option that is read on a grid obeys its rule.
private func require(
  _ kind: String, _ condition: Bool, _ name: String, _ value: Double, _ rule: String
) throws {
  guard condition else { throw VQError.value(kind, name, "\(value)", rule) }
}
