import Glibc
import VQTensor

/// A rise of the learning rate to its base rate and a fall far below it (Smith and Topin 2018), as
/// PyTorch's `OneCycleLR` with the base rate for `max_lr`.
///
/// From `1 / divisor` to 1 in the share `rise` of the steps, then to `1 / (divisor finalDivisor)`
/// at step `total - 1`, where it stays. In three phases it first falls as it rose.
public struct OneCycle: Equatable {
  /// How a phase goes from one factor to the next.
  public enum Annealing: String, OptionChoice {
    case cosine = "cos"
    case linear

    public var optionName: String { rawValue }
  }

  /// Steps of the whole cycle.
  public var total = 1
  /// The share of the steps in which the rate rises.
  public var rise = 0.3
  public var annealing = Annealing.cosine
  /// The highest factor over that of step 0.
  public var divisor = 25.0
  /// The factor of step 0 over the last.
  public var finalDivisor = 1e4
  public var isInThreePhases = false

  public init() {}

  public static let table = OptionTable(OneCycle()) {
    Option("total_steps", \.total, .atLeast(1), isRequired: true)
    Option("pct_start", \.rise, .fraction)
    Option("anneal_strategy", \.annealing)
    Option("div_factor", \.divisor, .aboveZero)
    Option("final_div_factor", \.finalDivisor, .aboveZero)
    Option("three_phase", \.isInThreePhases)
  }

  func check(_ operation: String) throws { try OneCycle.table.check(self, operation) }

  func factor(at step: Int) -> Double {
    let (step, last) = (Double(min(step, total - 1)), Double(total - 1))
    let peak = rise * Double(total) - 1
    let low = 1 / divisor
    let lowest = low / finalDivisor
    var phases: [(end: Double, factor: Double)] = [(peak, 1), (last, lowest)]
    if isInThreePhases { phases.insert((2 * peak, low), at: 1) }
    var (start, from) = (0.0, low)
    for (end, to) in phases {
      if step <= end {
        let phase = end > start ? (step - start) / (end - start) : 1
        return annealing == .linear
          ? from + (to - from) * phase : to + (from - to) / 2 * (1 + cos(.pi * phase))
      }
      (start, from) = (end, to)
    }
    return lowest
  }
}
