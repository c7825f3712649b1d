import Glibc
import VQTensor

/// A factor on the learning rate by step, counted from 0: PyTorch's closed forms.
///
/// A linear warm-up of `w` steps gives `(t + 1) / w`; the decay then begins at its own step 0. That
/// is PyTorch's `SequentialLR` of `LinearLR(start_factor=1/w, total_iters=w-1)` and the decay at
/// milestone `w`.
public struct Schedule: Equatable {
  public enum Decay: Equatable {
    /// 1
    case constant
    /// `gamma ^ floor(t / every)`
    case step(every: Int, gamma: Double)
    /// `gamma ^ t`
    case exponential(gamma: Double)
    /// `gamma` to the number of milestones up to t, which increase.
    case multistep(milestones: [Int], gamma: Double)
    /// `m + (1 - m) (1 + cos(pi t / total)) / 2` with `m` the minimum factor, which stays after
    /// `total`.
    case cosine(total: Int, minimumFactor: Double = 0)
    case oneCycle(OneCycle)
  }

  public let decay: Decay
  public let warmUp: Int

  /// - Throws: `.value` for a length or a milestone below 1 (warm-up: below 0), milestones that do
  ///   not increase, a gamma that is not finite and above 0, a minimum factor outside [0, 1], or
  ///   what `OneCycle` refuses.
  public init(_ decay: Decay = .constant, warmUp: Int = 0) throws {
    func check(_ name: String, _ value: some CustomStringConvertible, _ holds: Bool, _ rule: String)
      throws
    {
      guard holds else { throw VQError.value("schedule", name, value.description, rule) }
    }
    try check("warm_up", warmUp, warmUp >= 0, "must be at least 0")
    switch decay {
    case .constant: break
    case .step(let every, let gamma):
      try check("every", every, every >= 1, "must be at least 1")
      try check("gamma", gamma, gamma.isFinite && gamma > 0, "must be finite and above 0")
    case .exponential(let gamma):
      try check("gamma", gamma, gamma.isFinite && gamma > 0, "must be finite and above 0")
    case .multistep(let milestones, let gamma):
      let increase = zip(milestones, milestones.dropFirst()).allSatisfy(<)
      try check(
        "milestones", milestones, increase && (milestones.first ?? 1) >= 1,
        "must increase from at least 1")
      try check("gamma", gamma, gamma.isFinite && gamma > 0, "must be finite and above 0")
    case .cosine(let total, let minimum):
      try check("total", total, total >= 1, "must be at least 1")
      try check("minimum_factor", minimum, minimum >= 0 && minimum <= 1, "must be from 0 to 1")
    case .oneCycle(let cycle): try cycle.check("schedule")
    }
    self.decay = decay
    self.warmUp = warmUp
  }

  /// The factor at `step`; steps before 0 count as 0.
  public func factor(at step: Int) -> Double {
    let step = max(step, 0)
    if step < warmUp { return Double(step + 1) / Double(warmUp) }
    let time = step - warmUp
    switch decay {
    case .constant: return 1
    case .step(let every, let gamma): return pow(gamma, Double(time / every))
    case .exponential(let gamma): return pow(gamma, Double(time))
    case .multistep(let milestones, let gamma):
      return pow(gamma, Double(milestones.prefix { $0 <= time }.count))
    case .cosine(let total, let minimum):
      let phase = Double(min(time, total)) / Double(total)
      return minimum + (1 - minimum) * (1 + cos(.pi * phase)) / 2
    case .oneCycle(let cycle): return cycle.factor(at: time)
    }
  }
}
