import Glibc
import VQKernels
import VQNN
import VQTensor

/// The uniform weight quantizer: forward Q(w), backward `gradientScale` h(w) g.
///
/// Its grid is fixed, or follows from the weights that it was made for (`WeightRange`): one bound,
/// or one for each slice along the weight's first axis, the buffer "bound". It is taken again when
/// the caller gives weights beyond it, or a state has them and no bound; optimizers leave it as it
/// is. An automatic range is no part of the state while it is He's, of weights as they were when
/// the quantizer was set.
///
/// Set as a layer's `weightQuantizer` it quantizes the layer's weight in every forward; the layer's
/// own weight stays the one that the optimizer trains.
public final class WeightQuantizer: Module {
  /// The constant factor of the backward, where alpha of the theorem goes.
  public let gradientScale: Double
  /// nil for a fixed grid.
  public let range: WeightRange?
  /// [] or [slices] where there is a range.
  public let bounds: Tensor?
  /// Of error decay: how far training is, 0...1, a scalar that the training loop sets.
  public let progress: Tensor?
  private let start: GridEstimator
  private weak var weight: Tensor?
  private var isStale = false
  private var isListed: Bool

  /// - Throws: `.value` unless `gradientScale` is positive and finite in float32.
  public convenience init(_ estimator: GridEstimator, gradientScale: Double = 1) throws {
    try self.init(estimator, gradientScale, nil, nil)
  }

  /// A grid that follows from `weight`.
  ///
  /// - Parameters:
  ///   - estimator: on the grid of He's bound.
  ///   - isPerSlice: whether each slice along the first axis has a bound of its own.
  public convenience init(
    _ estimator: GridEstimator, gradientScale: Double = 1, range: WeightRange, of weight: Tensor,
    isPerSlice: Bool
  ) throws {
    try weight.requireFloat("weight_quantizer")
    guard let slices = weight.shape.first, weight.count > 0 else {
      throw VQError.shape("weight_quantizer", [weight.shape], "a range needs weights [out, ...]")
    }
    let bounds = try Tensor.ones(isPerSlice ? [slices] : [])
    try self.init(estimator, gradientScale, range, bounds)
    try fit(weight, isGiven: weight.isWritten)
  }

  private init(
    _ estimator: GridEstimator, _ gradientScale: Double, _ range: WeightRange?, _ bounds: Tensor?
  ) throws {
    guard gradientScale > 0, Float(gradientScale) > 0, Float(gradientScale).isFinite else {
      throw VQError.value(
        "weight_quantizer", "gradient_scale", "\(gradientScale)",
        "must be positive and finite in float32")
    }
    start = estimator
    self.gradientScale = gradientScale
    (self.range, self.bounds) = (range, bounds)
    isListed = range != nil && range != .automatic
    let isAnnealed = estimator.estimator.name == EstimatorKind.errorDecay.name
    let first = estimator.estimator.given("progress").flatMap(Float.init) ?? 0
    progress = isAnnealed ? try Tensor(scalar: first) : nil
  }

  // MARK: Range

  /// Takes the bounds from `weight`.
  ///
  /// - Throws: `.nonFinite` for weights that have no range.
  public func fit(_ weight: Tensor, isGiven: Bool = true) throws {
    guard let range, let bounds else { return }
    try weight.requireFinite("weight_quantizer", "weight")
    let found = try slices(of: weight.count).map { slice in
      try weight.read { w in
        try range.bound(
          of: UnsafeBufferPointer(start: w + slice.lowerBound, count: slice.count),
          he: start.grid.bound, bits: start.grid.bits, isGiven: isGiven)
      }
    }
    bounds.mutate { out in for (index, bound) in found.enumerated() { out[index] = Float(bound) } }
    if found.contains(where: { $0 != start.grid.bound }) { isListed = true }
  }

  /// Lets the range follow weights that the caller gives to a layer.
  public func follow(_ weight: Tensor) {
    guard range != nil, self.weight !== weight else { return }
    self.weight = weight
    weight.observeWrites { [weak self, weak weight] write in
      guard let self, let weight, self.weight === weight else { return }
      self.isListed = true
      switch write {
      case .assigned(let before): if weight.values != before.values { self.refit(weight) }
      case .loaded(let before): self.isStale = self.isStale || weight.values != before.values
      case .stepped: break
      }
    }
  }

  public override func stateDidLoad(_ names: Set<String>) throws {
    if names.contains("bound") { isListed = true }
    if isStale, !names.contains("bound"), let weight { refit(weight) }
    isStale = false
  }

  private func refit(_ weight: Tensor) {
    // Weights that are not finite have no range, and are named by what computes with them.
    try? fit(weight)
  }

  /// The share of the weights that lie beyond the grid.
  public func clippedShare(of weight: Tensor) throws -> Double {
    try weight.requireFloat("weight_quantizer")
    let grids = try estimators
    var beyond = 0
    weight.read { w in
      for (slice, grid) in zip(slices(of: weight.count), grids) {
        // Bounds are float32 where they follow from weights.
        let bound = max(grid.grid.bound, Double(Float(grid.grid.bound)))
        for i in slice where abs(Double(w[i])) > bound { beyond += 1 }
      }
    }
    return Double(beyond) / Double(max(weight.count, 1))
  }

  private func slices(of count: Int) -> [Range<Int>] {
    let slices = max(bounds?.count ?? 1, 1)
    return (0..<slices).map { $0 * count / slices..<($0 + 1) * count / slices }
  }

  /// The estimator as it is now, of each slice.
  public var estimators: [GridEstimator] {
    get throws {
      guard let bounds else { return [try annealed(start)] }
      return try bounds.values.map { bound in
        // He's bound as it was given, not rounded to float32.
        let isStart = bound == Float(start.grid.bound)
        return try annealed(isStart ? start : start.on(bound: Double(bound)))
      }
    }
  }

  /// The only one, or that of the first slice.
  public var estimator: GridEstimator {
    get throws { try estimators[0] }
  }

  private func annealed(_ estimator: GridEstimator) throws -> GridEstimator {
    guard let progress else { return estimator }
    return try GridEstimator(
      .errorDecay(progress: Double(progress.item())), on: estimator.grid)
  }

  public override var ownBuffers: [NamedTensor] {
    let both = [("progress", progress), ("bound", isListed ? bounds : nil)]
    return both.compactMap { name, tensor in tensor.map { (name, $0) } }
  }

  public override var ownOptionalBuffers: [NamedTensor] { bounds.map { [("bound", $0)] } ?? [] }

  public override var ownStateRules: [(name: String, rule: OptionRule<Float>)] {
    [("bound", .aboveZero), ("progress", .fraction)]
  }

  // MARK: Quantizing

  /// w of any shape, of the bounds' slices where there are several -> Q(w).
  public override func forward(_ w: Tensor) throws -> Tensor {
    let operation = "quantize_weight"
    let parts = try parts(of: w, operation)
    let result = try Tensor(operation, shape: w.shape) { out in
      w.read { w in
        for (slice, estimator) in parts {
          quantizeWeights(
            estimator.grid.geometry, w + slice.lowerBound, out + slice.lowerBound,
            count: slice.count)
        }
      }
    }
    let (saved, scale) = (Saved(w), Float(gradientScale))
    return result.recorded(operation, inputs: [w]) { gradient, _ in
      let w = try saved.tensor(operation)
      return [
        try Tensor(operation, shape: w.shape) { out in
          w.read { w in
            gradient.read { g in
              for (slice, estimator) in parts {
                let first = slice.lowerBound
                estimateGradient(
                  estimator.kernel, estimator.grid.geometry, scale: scale, w + first, g + first,
                  out + first, count: slice.count)
              }
            }
          }
        }
      ]
    }
  }

  /// The number of Q(w) on the grid, counted from -bound: int32 of w's shape, -1 for NaN.
  public func codes(_ w: Tensor) throws -> Tensor {
    let parts = try parts(of: w, "weight_codes")
    let codes = try Tensor(codes: [Int32](repeating: 0, count: w.count), shape: w.shape)
    codes.mutateCodes { out in
      w.read { w in
        for (slice, estimator) in parts {
          let first = slice.lowerBound
          weightCodes(estimator.grid.geometry, w + first, out + first, count: slice.count)
        }
      }
    }
    return codes
  }

  private func parts(
    of w: Tensor, _ operation: String
  ) throws -> [(Range<Int>, GridEstimator)] {
    try w.requireFloat(operation)
    if let bounds, bounds.rank == 1, w.shape.first != bounds.count {
      throw VQError.shape(
        operation, [w.shape, bounds.shape], "there must be a bound for each slice of w")
    }
    return Array(zip(slices(of: w.count), try estimators))
  }
}

extension UniformGrid {
  var geometry: QuantizationGrid { QuantizationGrid(bound: bound, cells: cells) }
}
