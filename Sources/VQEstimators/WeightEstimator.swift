import VQNN
import VQTensor

/// A gradient estimator for quantized weights: h(w) stands in the place of Q'(w) in the backward
/// pass.
///
/// Under SGD it trains as the straight-through estimator does at `alpha` times the rate from the
/// start M(w) (Schoenbauer, Moro, Lew and Howard 2024): alpha = D / integral over a cell of ds /
/// h(s), and M(w) = b + alpha * integral from b to w of ds / h(s) with the boundary b of the cell.
///
/// One of the catalogue, with the options that are given; the grid decides those that are left
/// open.
public struct WeightEstimator: Equatable {
  let kind: EstimatorKind
  let options: GivenOptions

  init(_ kind: EstimatorKind, _ options: [String: OptionValue?] = [:]) {
    self.kind = kind
    self.options = options.compactMap { name, value in value.map { (name, $0) } }
  }

  /// - Throws: `.value` for a name that is not in the catalogue. Options are read on a grid.
  public init(named name: String, _ options: GivenOptions = []) throws {
    guard let kind = EstimatorKind.catalogue.first(where: { $0.name == name }) else {
      let names = EstimatorKind.catalogue.map(\.name)
      throw VQError.value("estimator", "kind", "'\(name)'", "it must be one of \(names)")
    }
    (self.kind, self.options) = (kind, options)
  }

  /// Every estimator's name and options.
  public static let kinds = EstimatorKind.catalogue.map {
    (name: $0.name, options: $0.options)
  }

  public static func == (a: WeightEstimator, b: WeightEstimator) -> Bool {
    func sorted(_ options: GivenOptions) -> GivenOptions { options.sorted { $0.name < $1.name } }
    return a.name == b.name
      && sorted(a.options).elementsEqual(sorted(b.options)) {
        $0.name == $1.name && $0.value == $1.value
      }
  }

  public var name: String { kind.name }

  /// One boundary, at 0, and not the same in every cell.
  public var isOneBit: Bool { kind.isOneBit }

  /// The straight-through estimator that trains like it: clipped where this one is 0 beyond the
  /// grid.
  public var straightThroughPartner: WeightEstimator { kind.isCut ? .clipped : .straightThrough }

  /// The value of an option that was given.
  public func given(_ option: String) -> OptionValue? {
    options.first { $0.name == option }?.value
  }
}

extension WeightEstimator {
  /// 1 everywhere.
  public static let straightThrough = WeightEstimator(.straightThrough)
  /// 1 on the grid, 0 beyond it.
  public static let clipped = WeightEstimator(.clipped)
  /// sech^2(w / 2) / 4, 1 bit.
  public static let sigmoid = WeightEstimator(.sigmoid)
  /// 1 / (1 + w^2), 1 bit.
  public static let arctan = WeightEstimator(.arctan)
  /// 2 - 2 |w| for |w| < 1, 1 bit (Bi-Real, Liu et al. 2018).
  public static let approxSign = WeightEstimator(.approxSign)
  /// Magnitude-aware differentiation: 1 on the grid, bound / |w| beyond it (Sakr et al. 2022).
  public static let mad = WeightEstimator(.mad)

  /// Differentiable soft quantization, a tanh in each cell: e coth(e) sech^2(k t / bound) at t from
  /// the boundary, e = k D / (2 bound); k by the grid's bits unless given (Gong et al. 2019).
  public static func dsq(sharpness: Double? = nil) -> WeightEstimator {
    WeightEstimator(.dsq, ["sharpness": sharpness?.optionValue])
  }

  /// 1 + a cos(2 pi t / D).
  public static func cosine(amplitude: Double) -> WeightEstimator {
    WeightEstimator(.cosine, ["amplitude": .number(amplitude)])
  }

  /// k sech^2(k w), 1 bit; k is 2 / bound unless given.
  public static func tanh(sharpness: Double? = nil) -> WeightEstimator {
    WeightEstimator(.tanh, ["sharpness": sharpness?.optionValue])
  }

  /// |w|^((1 - o) / o) / o, for |w| below `cap`, a tenth of the bound unless given, its value
  /// there; 1 bit (Wu et al. 2023).
  public static func reste(power: Double, cap: Double? = nil) -> WeightEstimator {
    WeightEstimator(.reste, ["power": .number(power), "cap": cap?.optionValue])
  }

  /// Element-wise gradient scaling: 1 + strength sign(g) (w - Q(w)) / (D / 2), 0 beyond the grid
  /// (Lee et al. 2021, whose delta is strength / (D / 2)).
  public static func ewgs(strength: Double) -> WeightEstimator {
    WeightEstimator(.ewgs, ["strength": .number(strength)])
  }

  /// Error decay: k t sech^2(t w), t = 10^(2 progress - 1), k = max(1 / t, 1), 1 bit; `progress`
  /// goes from 0 to 1 in training (IR-Net, Qin et al. 2020).
  public static func errorDecay(progress: Double) -> WeightEstimator {
    WeightEstimator(.errorDecay, ["progress": .number(progress)])
  }

  /// h at equally spaced points, both ends included, linear between them and 0 beyond the grid: of
  /// one cell, the same in all of them, or of the whole grid.
  public static func sampled(_ h: [Double], cyclical: Bool) -> WeightEstimator {
    WeightEstimator(.sampled, ["samples": .numbers(h), "cyclical": .boolean(cyclical)])
  }
}
