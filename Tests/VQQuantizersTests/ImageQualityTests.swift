import Testing
import VQKernels
import VQTesting

@testable import VQMetrics
@testable import VQQuantizers

/// SSIM as Wang et al. define it, one window at a time: means, biased variances and covariance
/// under the normalized Gaussian.
private func ssimByDefinition(
  _ a: Tensor, _ b: Tensor, dataRange: Double, window: Int, sigma: Double
) -> Double {
  let (n, h, w, c) = (a.shape[0], a.shape[1], a.shape[2], a.shape[3])
  let (x, y) = (a.values.map(Double.init), b.values.map(Double.init))
  let weights = gaussianTaps(count: window, sigma: sigma)
  let (c1, c2) = (0.0001 * dataRange * dataRange, 0.0009 * dataRange * dataRange)
  var (total, windows) = (0.0, 0.0)
  for image in 0..<n {
    for top in 0...h - window {
      for left in 0...w - window {
        for channel in 0..<c {
          func mean(_ value: (Int) -> Double) -> Double {
            var sum = 0.0
            for i in 0..<window {
              for j in 0..<window {
                let place = ((image * h + top + i) * w + left + j) * c + channel
                sum += weights[i] * weights[j] * value(place)
              }
            }
            return sum
          }
          let (mx, my) = (mean { x[$0] }, mean { y[$0] })
          let vx = mean { (x[$0] - mx) * (x[$0] - mx) }
          let vy = mean { (y[$0] - my) * (y[$0] - my) }
          let cov = mean { (x[$0] - mx) * (y[$0] - my) }
          total +=
            (2 * mx * my + c1) * (2 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
          windows += 1
        }
      }
    }
  }
  return total / windows
}

@Suite struct ImageQualityTests {
  @Test func errorAndNoiseRatioHaveHandValues() throws {
    let (a, b) = (
      try Tensor([0, 1, 2, 3], shape: [2, 2]), try Tensor([0, 1, 2, 5], shape: [2, 2])
    )
    #expect(try mse(a, b) == 1)
    #expect(try psnr(a, b) == 0)
    #expect(abs(try psnr(a, b, dataRange: 10) - 20) < 1e-14)
    #expect(try psnr(a, a) == .infinity)
  }

  struct Case: CustomTestStringConvertible {
    var shape: [Int]
    var window = 11
    var sigma = 1.5
    var mean: Float = 0.5
    var dataRange = 1.0
    var testDescription: String { "\(shape) window \(window) range \(dataRange) mean \(mean)" }
  }

  @Test(arguments: [
    Case(shape: [2, 14, 17, 3]), Case(shape: [1, 11, 11, 1]), Case(shape: [3, 12, 40, 2]),
    Case(shape: [1, 9, 8, 4], window: 7, sigma: 0.8), Case(shape: [1, 3, 4, 2], window: 1),
    Case(shape: [1, 13, 13, 3], mean: 100, dataRange: 255),
  ])
  func similarityIsTheDefinition(_ size: Case) throws {
    let a = try sample(size.shape, seed: 1, mean: size.mean, scale: 0.2)
    let b = try a + sample(size.shape, seed: 2, scale: 0.1)
    let found = try ssim(
      a, b, dataRange: size.dataRange, window: size.window, sigma: size.sigma)
    let expected = ssimByDefinition(
      a, b, dataRange: size.dataRange, window: size.window, sigma: size.sigma)
    // Float64 moments about 0 lose mean^2 / C2 of their digits.
    let condition = 1 + Double(size.mean * size.mean) / (0.0009 * size.dataRange * size.dataRange)
    #expect(abs(found - expected) <= 1e-14 * condition)
  }

  @Test func equalImagesAreExactlySimilarAndThreadsDoNotMatter() throws {
    let a = try sample([5, 33, 29, 3], seed: 3, mean: 0.5, scale: 0.2)
    let b = try sample([5, 33, 29, 3], seed: 4, mean: 0.5, scale: 0.2)
    #expect(try ssim(a, a) == 1)
    #expect(try ssim(a, b) == ssim(b, a))
    #expect(try withThreads(1) { try ssim(a, b) } == withThreads(2) { try ssim(a, b) })
    #expect(try ssim(.zeros([1, 12, 12, 1]), .ones([1, 12, 12, 1])) < 0.001)
  }

  @Test func refusesWhatCannotBeCompared() throws {
    let a = try Tensor.ones([1, 12, 12, 3])
    func text(_ body: () throws -> Double) -> String { errorText(body) }
    #expect(
      text { try mse(a, .ones([1, 12, 12])) }
        == "[mse] shapes [1, 12, 12, 3] and [1, 12, 12]: they must be equal")
    #expect(
      text { try mse(.ones([0]), .ones([0])) }
        == "[mse] shape [0] has no elements: the mean needs at least one")
    #expect(
      text { try psnr(a, a, dataRange: 0) }
        == "[psnr] data_range = 0.0: must be positive and finite")
    #expect(
      text { try ssim(.ones([12, 12, 3]), .ones([12, 12, 3])) }
        == "[ssim] shapes [12, 12, 3] and [12, 12, 3]: images [n, h, w, c] are required")
    #expect(
      text { try ssim(a, a, window: 13) }
        == "[ssim] shape [1, 12, 12, 3]: images must be at least window = 13 high and wide")
    #expect(text { try ssim(a, a, window: 4) } == "[ssim] window = 4: must be odd and at least 1")
    #expect(
      text { try ssim(a, a, sigma: -1) } == "[ssim] sigma = -1.0: must be positive and finite")
  }
}
