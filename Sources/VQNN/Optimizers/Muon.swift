import VQKernels
import VQTensor

/// How Muon's learning rate follows from the rows and columns of a matrix [a, b].
public enum MuonAdjustment: String, OptionChoice {
  /// `sqrt(max(1, a / b))` (Jordan et al. 2024)
  case original
  /// `0.2 sqrt(max(a, b))`: steps of the size of Adam's (Liu et al. 2025).
  case likeAdamW = "match_rms_adamw"
  /// `sqrt(a / b)` (Bernstein 2025)
  case spectral = "spectral_unclamped"

  public var optionName: String { rawValue }

  func factor(_ rows: Int, _ columns: Int) -> Double {
    let (a, b) = (Double(rows), Double(columns))
    return switch self {
    case .original: max(1, a / b).squareRoot()
    case .likeAdamW: 0.2 * max(a, b).squareRoot()
    case .spectral: (a / b).squareRoot()
    }
  }
}

/// The options of `Muon` by name.
public struct MuonOptions {
  public var momentum = 0.95
  public var nesterov = true
  /// Of the polynomial `a x + b x^3 + c x^5` of the singular values.
  public var coefficients = OptionNumbers([3.4445, -4.775, 2.0315])
  /// The least norm that divides.
  public var epsilon = 1e-7
  public var iterations = 5
  public var adjustment = MuonAdjustment.original
  public var decayBiasesAndNorms = true

  public init() {}

  public static let table = OptionTable(MuonOptions()) {
    Option("momentum", \.momentum, .fraction)
    Option("nesterov", \.nesterov)
    Option(
      "ns_coefficients", \.coefficients,
      OptionRule("must be three finite numbers") {
        $0.values.count == 3 && $0.values.allSatisfy(\.isFinite)
      })
    Option("eps", \.epsilon, .epsilon)
    Option("ns_steps", \.iterations, OptionRule("must be in 0..<100") { 0..<100 ~= $0 })
    Option("adjust_lr_fn", \.adjustment)
    Option("decay_biases_and_norms", \.decayBiasesAndNorms)
  }
}

/// Muon (Jordan et al. 2024) for matrices: momentum `m += (1 - momentum) (g - m)`, made nearly
/// orthogonal by Newton-Schulz iterations, is the step. The iterations are in float32.
///
/// Weight decay is decoupled: `p *= 1 - rate * decay` before the step.
public final class Muon: Optimizer {
  public let options: MuonOptions

  /// - Throws: `.value` for a parameter that has not two axes, options out of range, or rates that
  ///   are not finite.
  public init(_ options: MuonOptions = MuonOptions(), groups: [ParameterGroup]) throws {
    try MuonOptions.table.check(options, "muon")
    self.options = options
    try super.init("muon", groups: groups, decayBiasesAndNorms: options.decayBiasesAndNorms)
  }

  public static let kind = OptimizerKind("muon", MuonOptions.table) { options, _ in
    try Muon(options, groups: [])
  }

  public override func refusal(of parameter: Tensor) -> String? {
    parameter.rank == 2 ? nil : "it must have two axes; others are for another optimizer"
  }

  public override func moments(of parameter: Tensor) -> [Moment] {
    [Moment("momentum_buffer", parameter.shape)]
  }

  public override func update(
    _ parameter: Tensor, gradient: Tensor, state: ParameterState, group: ParameterGroup,
    weightDecay: Double
  ) throws {
    let (shape, count, moment) = (parameter.shape, parameter.count, state.moments[0])
    guard count > 0 else { return }
    let weight = Float(1 - options.momentum)
    let direction = try Tensor.uninitialized(.float32, shape)
    direction.mutate { out in
      gradient.read { g in
        moment.read { m in
          muonDirection(
            momentum: Float(options.momentum), weight: weight, nesterov: options.nesterov,
            gradient: g, moment: m, out, count: count)
        }
      }
    }
    let numbers = options.coefficients.values
    let orthogonal = try direction.nearlyOrthogonal(
      coefficients: (numbers[0], numbers[1], numbers[2]), iterations: options.iterations,
      epsilon: options.epsilon)
    let rate = group.learningRate * options.adjustment.factor(shape[0], shape[1])
    parameter.mutate { p in
      moment.mutate { m in
        gradient.read { g in
          orthogonal.read { d in
            muon(
              rate: Float(rate), shrink: Float(1 - group.learningRate * weightDecay),
              weight: weight, p,
              gradient: g, moment: m, direction: d, count: count)
          }
        }
      }
    }
  }
}
