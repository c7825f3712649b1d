import Testing
import VQTesting

@testable import VQNN

@Suite struct ScheduleTests {
  private func factors(_ schedule: Schedule, _ count: Int) -> [Double] {
    (0..<count).map(schedule.factor)
  }

  /// PyTorch computes some of these by recursion, each step of which rounds.
  private func expectEqual(_ found: [Double], _ expected: [Double]) {
    for (x, y) in zip(found, expected) { #expect(abs(x - y) < 1e-14) }
  }

  @Test func constant() throws {
    #expect(factors(try Schedule(), 3) == [1, 1, 1])
  }

  @Test func stepsEqualPyTorch() throws {
    // StepLR(o, 3, 0.5)
    #expect(
      factors(try Schedule(.step(every: 3, gamma: 0.5)), 8)
        == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25])
  }

  @Test func cosineEqualsPyTorch() throws {
    // CosineAnnealingLR(o, 5, 0.1)
    expectEqual(
      factors(try Schedule(.cosine(total: 5, minimumFactor: 0.1)), 6),
      [1, 0.9140576474687263, 0.6890576474687263, 0.41094235253127365, 0.1859423525312737, 0.1])
  }

  @Test func cosineStaysAtItsMinimum() throws {
    #expect(try Schedule(.cosine(total: 5, minimumFactor: 0.25)).factor(at: 100) == 0.25)
  }

  @Test func warmUpThenCosineEqualsPyTorch() throws {
    // SequentialLR(o, [LinearLR(o, 1 / 4, total_iters=3), CosineAnnealingLR(o, 5, 0.1)], [4])
    expectEqual(
      factors(try Schedule(.cosine(total: 5, minimumFactor: 0.1), warmUp: 4), 10),
      [
        0.25, 0.5, 0.75, 1, 1, 0.9140576474687263, 0.6890576474687263, 0.41094235253127365,
        0.1859423525312737, 0.1,
      ])
  }

  @Test func exponentialEqualsPyTorch() throws {
    // ExponentialLR(o, 0.5)
    #expect(factors(try Schedule(.exponential(gamma: 0.5)), 4) == [1, 0.5, 0.25, 0.125])
  }

  @Test func milestonesEqualPyTorch() throws {
    // MultiStepLR(o, [2, 3], 0.5)
    #expect(
      factors(try Schedule(.multistep(milestones: [2, 3], gamma: 0.5)), 5)
        == [1, 1, 0.5, 0.25, 0.25])
  }

  @Test func oneCycleRisesAndFalls() throws {
    var cycle = OneCycle()
    (cycle.total, cycle.rise, cycle.annealing) = (7, 3 / 7, .linear)
    (cycle.divisor, cycle.finalDivisor) = (4, 2)
    expectEqual(
      factors(try Schedule(.oneCycle(cycle)), 8),
      [0.25, 0.625, 1, 0.78125, 0.5625, 0.34375, 0.125, 0.125])
    cycle.isInThreePhases = true
    expectEqual(
      factors(try Schedule(.oneCycle(cycle)), 7),
      [0.25, 0.625, 1, 0.625, 0.25, 0.1875, 0.125])
  }

  @Test func optionsOutOfRange() {
    #expect(
      errorText { _ = try Schedule(.multistep(milestones: [3, 3], gamma: 0.5)) }
        == "[schedule] milestones = [3, 3]: must increase from at least 1")
    #expect(
      errorText { _ = try Schedule(.exponential(gamma: 0)) }
        == "[schedule] gamma = 0.0: must be finite and above 0")
    #expect(
      errorText { _ = try Schedule(warmUp: -1) } == "[schedule] warm_up = -1: must be at least 0")
    #expect(
      errorText { _ = try Schedule(.step(every: 0, gamma: 0.5)) }
        == "[schedule] every = 0: must be at least 1")
    #expect(
      errorText { _ = try Schedule(.step(every: 1, gamma: .nan)) }
        == "[schedule] gamma = nan: must be finite and above 0")
    #expect(
      errorText { _ = try Schedule(.cosine(total: 0)) }
        == "[schedule] total = 0: must be at least 1")
    #expect(
      errorText { _ = try Schedule(.cosine(total: 1, minimumFactor: 1.5)) }
        == "[schedule] minimum_factor = 1.5: must be from 0 to 1")
  }
}
