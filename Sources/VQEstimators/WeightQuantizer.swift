import Glibc
import VQKernels
import VQNN
import VQTensor

/// The uniform weight quantizer: forward Q(w), backward `gradientScale` h(w) g.
///
/// Set as a layer's `weightQuantizer` it quantizes the layer's weight in every forward; the layer's own
/// weight stays the one that the optimizer trains.
public final class WeightQuantizer: Module {
  public let grid: UniformGrid
  /// The constant factor of the backward, where alpha of the theorem goes.
  public let gradientScale: Double
  private let fixed: GridEstimator
  /// Of error decay: how far training is, 0...1, a scalar that the training loop sets.
  public let progress: Tensor?

  /// - Throws: `.value` unless `gradientScale` is positive and finite in float32.
  public init(_ estimator: GridEstimator, gradientScale: Double = 1) throws {
    guard gradientScale > 0, Float(gradientScale) > 0, Float(gradientScale).isFinite else {
      throw VQError.value(
        "weight_quantizer", "gradient_scale", "\(gradientScale)",
        "must be positive and finite in float32")
    }
    grid = estimator.grid
    self.gradientScale = gradientScale
    fixed = estimator
    if case .errorDecay(let start) = estimator.estimator {
      progress = try Tensor(scalar: Float(start))
    } else {
      progress = nil
    }
  }

  /// The estimator as it is now.
  public var estimator: GridEstimator {
    get throws {
      guard let progress else { return fixed }
      return try GridEstimator(.errorDecay(progress: Double(progress.item())), on: grid)
    }
  }

  public override var ownBuffers: [NamedTensor] { progress.map { [("progress", $0)] } ?? [] }

  /// w of any shape -> Q(w).
  public override func forward(_ w: Tensor) throws -> Tensor {
    let operation = "quantize_weight"
    try w.requireFloat(operation)
    let geometry = grid.geometry
    let result = try Tensor(operation, shape: w.shape) { out in
      w.read { quantizeWeights(geometry, $0, out, count: w.count) }
    }
    let (saved, shape, scale) = (Saved(w), try estimator.shape, Float(gradientScale))
    return result.recorded(operation, inputs: [w]) { gradient, _ in
      let w = try saved.tensor(operation)
      return [
        try Tensor(operation, shape: w.shape) { out in
          w.read { w in
            gradient.read { g in
              estimateGradient(shape, geometry, scale: scale, w, g, out, count: gradient.count)
            }
          }
        }
      ]
    }
  }

  /// The number of Q(w) on the grid, counted from -bound: int32 of w's shape, -1 for NaN.
  public func codes(_ w: Tensor) throws -> Tensor {
    try w.requireFloat("weight_codes")
    let codes = try Tensor(codes: [Int32](repeating: 0, count: w.count), shape: w.shape)
    codes.mutateCodes { out in
      w.read { weightCodes(grid.geometry, $0, out, count: w.count) }
    }
    return codes
  }
}

extension UniformGrid {
  var geometry: QuantizationGrid { QuantizationGrid(bound: bound, cells: cells) }
}

extension GridEstimator {
  /// h as the kernels take it.
  var shape: EstimatorShape {
    switch estimator {
    case .straightThrough: .one
    case .clipped: .clipped
    case .dsq:
      .cellSech(
        sharpness: Float(2 * cellSharpness),
        factor: Float(cellSharpness / Glibc.tanh(cellSharpness)))
    case .cosine(let amplitude): .cellCosine(amplitude: Float(amplitude))
    case .tanh(let sharpness): .sech(sharpness: Float(sharpness), factor: Float(sharpness))
    case .sigmoid: .sech(sharpness: 0.5, factor: 0.25)
    case .arctan: .arctan
    case .approxSign: .approxSign
    case .reste(let power, let cap):
      .power(exponent: Float((1 - power) / power), cap: Float(cap), factor: Float(1 / power))
    case .mad: .magnitudeAware
    case .ewgs(let strength): .errorWise(strength: Float(strength))
    case .errorDecay(let progress):
      .sech(
        sharpness: Float(errorDecaySharpness(progress)),
        factor: Float(max(1, errorDecaySharpness(progress))))
    case .sampled(let h, let cyclical): .samples(h.map { Float($0) }, overGrid: !cyclical)
    }
  }
}
