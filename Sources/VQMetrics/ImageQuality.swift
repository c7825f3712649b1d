import Glibc
import VQKernels
import VQTensor

/// The mean of `(a - b)^2` over all elements of two float32 tensors of one shape.
public func mse(_ a: Tensor, _ b: Tensor) throws -> Double {
  try meanSquaredDifference("mse", a, b)
}

/// The peak signal to noise ratio in dB, `10 log10(dataRange^2 / mse)` with the mse over all
/// elements; infinite for equal tensors.
///
/// `dataRange` is the largest value that an element may have less the smallest.
public func psnr(_ a: Tensor, _ b: Tensor, dataRange: Double = 1) throws -> Double {
  try requirePositive("psnr", "data_range", dataRange)
  return 20 * log10(dataRange) - 10 * log10(try meanSquaredDifference("psnr", a, b))
}

/// Structural similarity (Wang et al., "Image Quality Assessment", 2004), the mean over all
/// windows, channels and images of
/// `(2 ma mb + C1)(2 cov + C2) / ((ma^2 + mb^2 + C1)(va + vb + C2))`, `C1 = (0.01 R)^2`,
/// `C2 = (0.03 R)^2`.
///
/// `a` and `b` are float32 images [n, h, w, c]. Moments are weighted by a Gaussian of `window` x
/// `window` taps with standard deviation `sigma`, in Float64, biased, over the windows that lie
/// inside the image: the definition of scikit-image with
/// `gaussian_weights=True, use_sample_covariance=False`.
public func ssim(
  _ a: Tensor, _ b: Tensor, dataRange: Double = 1, window: Int = 11, sigma: Double = 1.5
) throws -> Double {
  let operation = "ssim"
  try requireEqualFloats(operation, a, b)
  guard a.rank == 4 else {
    throw VQError.shape(operation, [a.shape, b.shape], "images [n, h, w, c] are required")
  }
  try requirePositive(operation, "data_range", dataRange)
  try requirePositive(operation, "sigma", sigma)
  guard window >= 1, window % 2 == 1 else {
    throw VQError.value(operation, "window", "\(window)", "must be odd and at least 1")
  }
  guard a.count > 0 else {
    throw VQError.empty(operation, a.shape, "the mean needs at least one")
  }
  let (n, h, w, c) = (a.shape[0], a.shape[1], a.shape[2], a.shape[3])
  guard h >= window, w >= window else {
    throw VQError.shape(
      operation, [a.shape], "images must be at least window = \(window) high and wide")
  }
  let taps = gaussianTaps(count: window, sigma: sigma)
  let (k1, k2) = (0.01 * dataRange, 0.03 * dataRange)
  var sum = 0.0
  try interruptible(operation) {
    sum = a.read { a in
      b.read { b in
        structuralSimilaritySum(
          a, b, count: n, height: h, width: w, channels: c, taps: taps, c1: k1 * k1, c2: k2 * k2)
      }
    }
  }
  return sum / Double(n * (h - window + 1) * (w - window + 1) * c)
}

private func requirePositive(_ operation: String, _ name: String, _ value: Double) throws {
  guard value > 0, value.isFinite else {
    throw VQError.value(operation, name, "\(value)", "must be positive and finite")
  }
}
