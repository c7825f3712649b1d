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

  @Test func optionsOutOfRange() {
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
