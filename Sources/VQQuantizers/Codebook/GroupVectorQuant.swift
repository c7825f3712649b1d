import VQNN
import VQTensor

/// Product quantization: the channels of a vector in contiguous groups, each replaced by a code of
/// its own.
///
/// `z` [..., d] gives codes [..., groups]. Groups have codebooks of their own, [k, d / groups]
/// each, or share one. The loss is the mean over groups: the mean squared error of whole vectors
/// has one meaning in every quantizer. The options hold for each group; `featureSize` is that of
/// the whole vector. A norm of channels takes each of the d by itself, whether codebooks are shared
/// or not.
public final class GroupVectorQuant: CodebookQuantizer {
  public let groups: Int
  private let parts: PartLayers

  public init(_ options: VectorQuantOptions, groups: Int, isShared: Bool = false) throws {
    let name = "group_vector_quant"
    guard options.featureSize >= 1 else {
      throw VQError.value(name, "feature_size", "\(options.featureSize)", "must be at least 1")
    }
    try PartLayers.check(count: groups, "groups", name)
    guard options.featureSize % groups == 0 else {
      throw VQError.value(
        name, "groups", "\(groups)",
        "must divide feature_size = \(options.featureSize)")
    }
    self.groups = groups
    var own = options
    own.featureSize = options.featureSize / groups
    try own.check(name)
    parts = try PartLayers(
      own, count: groups, isShared: isShared, rowsPerVector: isShared ? groups : 1)
    super.init(options: options)
  }

  override var name: String { "group_vector_quant" }
  override var codeAxes: [Int] { [groups] }
  override var comparedSize: Int { groups * layers[0].options.width }
  override func lossCount(stages: Int) -> Int { layers.count }
  public override var holders: [CodebookQuantizer] { layers }
  public override var children: [(name: String, module: Module)] { parts.children }

  /// One for each group, or the one that they share.
  public var layers: [VectorQuant] { parts.layers }
  private var isShared: Bool { parts.isShared }
  private var width: Int { featureSize / groups }

  override func quantizeRows(
    _ rows: Tensor, _ selection: VectorSelection, stages: Int
  ) throws -> QuantizedRows {
    let m = rows.shape[0]
    if isShared {
      var result = try layers[0].quantizeRows(
        rows.reshape([m * groups, width]), selection, stages: 1)
      result.output = try result.output.reshape([m, featureSize])
      result.codes = try result.codes.reshape([m, groups])
      result.distances = try result.distances.reshape([m, groups])
      result.compared = try result.compared.reshape([m, -1])
      return result
    }
    let results = try zip(layers, slices(rows)).map {
      try $0.quantizeRows($1, selection, stages: 1)
    }
    return try QuantizedRows(
      adding: results, output: .concatenate(results.map(\.output), axis: 1),
      compared: .concatenate(results.map(\.compared), axis: 1)
    ).averaged(over: Float(groups))
  }

  override func repeatCodes(_ codes: Tensor?) throws {
    if isShared { return try layers[0].repeatCodes(codes?.reshape([-1])) }
    let columns = try codes?.columns()
    for (group, layer) in layers.enumerated() { try layer.repeatCodes(columns?[group]) }
  }

  override func encodeRows(
    _ rows: Tensor, _ selection: VectorSelection, stages: Int
  ) throws -> Tensor {
    let m = rows.shape[0]
    if isShared {
      return try layers[0].encodeRows(
        rows.reshape([m * groups, width]), selection, stages: 1
      ).reshape([m, groups])
    }
    let codes = try zip(layers, slices(rows)).map {
      try $0.encodeRows($1, selection, stages: 1)
    }
    return try .stack(codes, axis: 1)
  }

  override func decodeRows(_ codes: Tensor) throws -> Tensor {
    let m = codes.shape[0]
    if isShared {
      return try layers[0].decodeRows(codes.reshape([m * groups])).reshape([m, featureSize])
    }
    let values = try layers.enumerated().map { group, layer in
      try layer.decodeRows(codes.slice(axis: 1, from: group, to: group + 1).reshape([m]))
    }
    return try .concatenate(values, axis: 1)
  }

  override func fitRows(_ rows: Tensor, _ selection: VectorSelection, iterations: Int) throws {
    if isShared {
      return try layers[0].fitRows(
        rows.reshape([rows.shape[0] * groups, width]), selection,
        iterations: iterations)
    }
    for (layer, part) in try zip(layers, slices(rows)) {
      try layer.fitRows(part, selection, iterations: iterations)
    }
  }

  /// The channels of each group, [m, d / groups].
  private func slices(_ rows: Tensor) throws -> [Tensor] {
    try (0..<groups).map { try rows.slice(axis: 1, from: $0 * width, to: ($0 + 1) * width) }
  }
}
