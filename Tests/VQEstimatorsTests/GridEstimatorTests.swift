import Testing
import VQTesting
import VQEstimators
import VQNN
import VQTensor

@Suite struct GridEstimatorTests {
  /// Each has the mean 1 over a cell.
  static let cyclical: [WeightEstimator] = [
    .straightThrough, .clipped, .dsq(sharpness: 2), .dsq(sharpness: 5.5), .cosine(amplitude: 0.7),
    .cosine(amplitude: -0.4), .sampled([0.4, 1.5, 1, 0.6], cyclical: true),
  ]
  static let oneBit: [WeightEstimator] = [
    .tanh(sharpness: 1.5), .sigmoid, .arctan, .approxSign, .mad, .reste(power: 1, cap: 0.1),
    .reste(power: 3, cap: 0.05),
  ]

  /// Simpson's rule with steps so fine that its error is below 1e-9 for these h.
  private func integral(from a: Double, to b: Double, _ f: (Double) -> Double) -> Double {
    let steps = 20_000
    let width = (b - a) / Double(steps)
    var sum = f(a) + f(b)
    for i in 1..<steps { sum += f(a + Double(i) * width) * (i % 2 == 1 ? 4 : 2) }
    return sum * width / 3
  }

  @Test(arguments: cyclical, [1, 2, 4])
  func alphaIsTheHarmonicMean(estimator: WeightEstimator, bits: Int) throws {
    let grid = try UniformGrid(bits: bits, fanIn: 9)
    let e = try GridEstimator(estimator, on: grid)
    let b = grid.boundary(near: 0.01)
    let edge = grid.spacing / 2 * (1 - 1e-12)
    let mean = grid.spacing / integral(from: b - edge, to: b + edge) { 1 / e.derivative($0) }
    let alpha = try e.alpha
    #expect(abs(alpha - mean) <= 1e-6)
    #expect(alpha <= 1 + 1e-12)
    #expect((alpha == 1) == (estimator == .straightThrough || estimator == .clipped))
  }

  @Test(arguments: cyclical + oneBit)
  func warpIsTheIntegral(estimator: WeightEstimator) throws {
    let grid = try UniformGrid(bits: estimator.isOneBit ? 1 : 2, bound: 0.9)
    let e = try GridEstimator(estimator, on: grid)
    for w in stride(from: -0.89, through: 0.89, by: 0.0617) {
      let b = grid.boundary(near: w)
      // In two pieces where ReSTE has a kink.
      var expected = b
      if case .number(let cap) = estimator.given("cap"), abs(w) > cap {
        let kink = w < 0 ? -cap : cap
        expected += integral(from: b, to: kink) { 1 / e.derivative($0) }
        expected += integral(from: kink, to: w) { 1 / e.derivative($0) }
      } else {
        expected += try e.alpha * integral(from: b, to: w) { 1 / e.derivative($0) }
      }
      #expect(try abs(e.warp(w) - expected) <= 1e-6 * max(1, abs(expected)))
    }
  }

  @Test(arguments: cyclical, Array(1...8))
  func warpKeepsBoundariesAndQuantizedWeights(estimator: WeightEstimator, bits: Int) throws {
    let grid = try UniformGrid(bits: bits, bound: 0.7)
    let e = try GridEstimator(estimator, on: grid)
    var before = -Double.infinity
    for step in -6000...6000 {
      let w = Double(step) / 6000 * 0.8
      let warped = try e.warp(w)
      #expect(warped > before)
      before = warped
      let b = grid.boundary(near: w)
      if abs(w - b) < 1e-9 {
        #expect(abs(warped - b) < 1e-8)
      } else {
        #expect(grid.quantized(warped) == grid.quantized(w))
      }
    }
    #expect(try abs(e.warp(grid.boundary(near: 0.3)) - grid.boundary(near: 0.3)) <= 1e-15)
  }

  @Test(arguments: cyclical + oneBit)
  func inverseWarpUndoesTheWarp(estimator: WeightEstimator) throws {
    let e = try GridEstimator(estimator, on: UniformGrid(bits: 1, bound: 0.8))
    for w in stride(from: -0.95, through: 0.95, by: 0.0731) {
      #expect(try abs(e.inverseWarp(e.warp(w)) - w) <= 1e-12)
    }
  }

  /// A closed form by samples: errors fall with the square of their distance.
  @Test(arguments: [WeightEstimator.dsq(sharpness: 5.5), .cosine(amplitude: 0.6)])
  func samplesAgreeWithTheClosedForm(estimator: WeightEstimator) throws {
    let grid = try UniformGrid(bits: 2, bound: 1.1)
    let closed = try GridEstimator(estimator, on: grid)
    let edge = grid.spacing / 2 * (1 - 1e-12)
    let samples = (0...20_000).map { closed.derivative((Double($0) / 10_000 - 1) * edge) }
    let sampled = try GridEstimator(.sampled(samples, cyclical: true), on: grid)
    #expect(try abs(sampled.alpha - closed.alpha) <= 1e-6)
    for w in stride(from: -1.3, through: 1.3, by: 0.0371) {
      #expect(try abs(sampled.warp(w) - closed.warp(w)) <= 1e-6)
      #expect(abs(sampled.derivative(w) - closed.derivative(w)) <= 1e-6)
    }
  }

  /// The values that the paper's experiments use.
  @Test(arguments: [(1, 2.0, 0.530), (2, 5.5, 0.610), (2, 6.5, 0.454), (4, 18, 0.878)])
  func alphaOfDSQ(bits: Int, sharpness: Double, alpha: Double) throws {
    let e = try GridEstimator(.dsq(sharpness: sharpness), on: UniformGrid(bits: bits, bound: 0.3))
    #expect(try abs(e.alpha - alpha) < 5e-4)
  }

  /// A shape over the whole grid that rises to the right moves boundaries; one that is even does
  /// not at 2 bits, but the ends of the grid.
  @Test func shapesOverTheGrid() throws {
    let grid = try UniformGrid(bits: 2, bound: 1.5)
    let rising = try GridEstimator(.sampled([0.5, 1.5], cyclical: false), on: grid)
    #expect(rising.obstacle?.contains("moves the boundary -1.0 to -1.1") == true)
    let even = try GridEstimator(.sampled([0.5, 1.5, 0.5], cyclical: false), on: grid)
    #expect(even.obstacle?.contains("moves the end of the grid -1.5 to -1.86") == true)
    // 1 / h from 0 to 1 is that of 1.5 - 2/3 s: 1.5 ln(1.5 / (5 / 6)).
    #expect(try abs(even.alpha - 1 / (1.5 * 0.587_786_664_9)) < 1e-9)
    #expect(try abs(even.warp(-1) + 1) < 1e-12)
    #expect(even.derivative(0.75) == 1 && rising.derivative(2) == 0)
  }

  @Test(arguments: [WeightEstimator.ewgs(strength: 0.2), .errorDecay(progress: 0.5)])
  func warpIsRefused(estimator: WeightEstimator) throws {
    let e = try GridEstimator(estimator, on: UniformGrid(bits: 1, bound: 1))
    #expect(throws: VQError.self) { try e.warp(0.1) }
    #expect(throws: VQError.self) { try e.alpha }
    #expect(e.obstacle != nil)
  }

  @Test func gridValues() throws {
    let grid = try UniformGrid(bits: 2, bound: 1.5)
    #expect(grid.spacing == 1)
    #expect(
      [-9, -1.2, -0.9, 0.1, 0.9, 1.1, 7].map(grid.quantized) == [
        -1.5, -1.5, -0.5, 0.5, 0.5, 1.5, 1.5,
      ])
    #expect([-9, -1.2, -0.1, 0.4, 1.5].map(grid.boundary) == [-1, -1, 0, 0, 1])
    #expect(try UniformGrid(bits: 4, fanIn: 54).bound == 1.0 / 3)
  }

  @Test func errors() throws {
    #expect(
      errorText { _ = try UniformGrid(bits: 0, bound: 1) }.contains(
        "bits = 0: must be from 1 to 16"))
    #expect(errorText { _ = try UniformGrid(bits: 17, bound: 1) }.contains("bits = 17"))
    #expect(errorText { _ = try UniformGrid(bits: 2, bound: .nan) }.contains("bound = nan"))
    let grid = try UniformGrid(bits: 2, bound: 1)
    #expect(
      errorText { _ = try GridEstimator(.cosine(amplitude: 1), on: grid) }.contains(
        "[cosine] amplitude = 1.0"))
    #expect(
      errorText { _ = try GridEstimator(.dsq(sharpness: 0), on: grid) }.contains(
        "[dsq] sharpness = 0.0")
    )
    #expect(
      errorText { _ = try GridEstimator(.arctan, on: grid) }.contains(
        "[arctan] bits = 2: must be 1"))
    #expect(
      errorText { _ = try GridEstimator(.sampled([1, -0.5], cyclical: true), on: grid) }.contains(
        "[sampled] samples[1] = -0.5: every sample must be positive and finite"))
    #expect(
      errorText { _ = try GridEstimator(.sampled([1], cyclical: true), on: grid) }.contains(
        "samples = 1"))
    #expect(
      errorText {
        _ = try GridEstimator(.reste(power: 0.5, cap: 1), on: UniformGrid(bits: 1, bound: 1))
      }
      .contains("[reste] power = 0.5"))
  }
}
