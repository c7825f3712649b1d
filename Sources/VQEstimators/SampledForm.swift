import Glibc
import VQKernels
import VQTensor

/// An estimator by its values at equally spaced points of a cell or of the grid, ends included,
/// linear between them: alpha and M by the exact integral of 1 / h.
struct SampledForm {
  private let samples: ReciprocalSamples
  private let isCyclical: Bool
  private let grid: UniformGrid

  init(_ h: [Double], isCyclical: Bool, on grid: UniformGrid) throws {
    guard h.count >= 2 else {
      throw VQError.value("sampled", "samples", "\(Double(h.count))", "must be at least 2")
    }
    for (index, value) in h.enumerated() where !(value > 0 && value.isFinite) {
      throw VQError.value(
        "sampled", "samples[\(index)]", "\(value)", "every sample must be positive and finite")
    }
    samples = ReciprocalSamples(h)
    (self.isCyclical, self.grid) = (isCyclical, grid)
  }

  var form: EstimatorForm {
    EstimatorForm(
      derivative: { samples.value(at: place($0)) }, alpha: alpha, warp: warp,
      kernel: .samples(samples.h.map { Float($0) }, overGrid: !isCyclical), obstacle: obstacle)
  }

  /// M fixes a boundary by definition, and its neighbors if h is the same on both sides.
  private var obstacle: String? {
    let boundaries = (0..<grid.cells).map { (Double($0) + 0.5) * grid.spacing - grid.bound }
    for place in boundaries + [-grid.bound, grid.bound] {
      let moved = warp(place)
      guard abs(moved - place) > 1e-6 * grid.spacing else { continue }
      let what = abs(place) < grid.bound ? "boundary" : "end of the grid"
      return "it is uneven: its warp moves the \(what) \(place) to \(moved)"
    }
    return nil
  }

  private var alpha: Double {
    guard !isCyclical, grid.cells > 1 else { return 1 / samples.integral(to: 1) }
    let outer = grid.bound - grid.spacing / 2
    return 2 * outer / (integral(to: outer) - integral(to: -outer))
  }

  private func warp(_ w: Double) -> Double {
    let (inside, fixed) = (grid.clipped(w), grid.boundary(near: isCyclical ? w : 0))
    return fixed + alpha * (integral(to: inside) - integral(to: fixed)) + (w - inside)
  }

  /// Where w lies in what the samples span, 0...1.
  private func place(_ w: Double) -> Double {
    isCyclical
      ? min(max((w - grid.boundary(near: w)) / grid.spacing + 0.5, 0), 1)
      : (grid.clipped(w) + grid.bound) / (2 * grid.bound)
  }

  /// The integral of 1 / h from the left end of what the samples span to w.
  private func integral(to w: Double) -> Double {
    samples.integral(to: place(w)) * (isCyclical ? grid.spacing : 2 * grid.bound)
  }
}

/// h at equally spaced points of 0...1, linear between them, and the exact integral of 1 / h.
private struct ReciprocalSamples {
  let h: [Double]
  /// From 0 to each sample.
  private let integrals: [Double]

  init(_ h: [Double]) {
    var integrals = [0.0]
    for (left, right) in zip(h, h.dropFirst()) {
      let segment = reciprocalIntegral(from: left, to: right, over: 1)
      integrals.append(integrals.last! + segment / Double(h.count - 1))
    }
    (self.h, self.integrals) = (h, integrals)
  }

  /// The sample to the left of x, and how far x is from it to the next.
  private func segment(_ x: Double) -> (left: Int, rest: Double) {
    let position = x * Double(h.count - 1)
    // NaN goes to the last segment.
    let left = position < Double(h.count - 2) ? Int(position) : h.count - 2
    return (left, position - Double(left))
  }

  func value(at x: Double) -> Double {
    let (left, rest) = segment(x)
    return h[left] + rest * (h[left + 1] - h[left])
  }

  func integral(to x: Double) -> Double {
    let (left, rest) = segment(x)
    let part = reciprocalIntegral(from: h[left], to: h[left + 1], over: rest)
    return integrals[left] + part / Double(h.count - 1)
  }
}

/// The integral of 1 / (a + (b - a) s) for s from 0 to `length`.
private func reciprocalIntegral(from a: Double, to b: Double, over length: Double) -> Double {
  let x = (b - a) / a * length
  return length / a * (x == 0 ? 1 : log1p(x) / x)
}
