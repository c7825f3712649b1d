import VQNN
import VQTensor

/// What leads from the raw codebook C [k, d] to the effective one before its norm: `scale C + bias`
/// with a learned or a measured map, or `C W` (SimVQ), or C itself.
struct CodebookMap {
  /// The learned affine map's s and b, [groups, d]; nil when its rate is 0.
  let scale: Tensor?
  let bias: Tensor?
  /// W, [d, d].
  let transform: Tensor?
  let moments: AffineMoments?
  private let options: VectorQuantOptions

  init(_ options: VectorQuantOptions) throws {
    self.options = options
    let (groups, d) = (options.affineGroups, options.width)
    let isLearned = options.affine == .learned && options.affineLearningRate > 0
    scale = isLearned ? try .zeros([groups, d]).requiringGrad(.norm) : nil
    bias = isLearned ? try .zeros([groups, d]).requiringGrad(.norm) : nil
    transform = options.isSimVQ ? try Tensor.identity(d).requiringGrad(.weight) : nil
    moments =
      options.affine == .ema
      ? try AffineMoments(width: d, groups: groups, momentum: options.affineMomentum) : nil
  }

  /// What the outer optimizer trains.
  var parameters: [NamedTensor] {
    if let transform { return [("transform", transform)] }
    guard let scale, let bias else { return [] }
    return [("affine_scale", scale), ("affine_bias", bias)]
  }

  /// All that the map is made of; empty for the identity.
  var tensors: [Tensor] { (parameters + (moments?.buffers ?? [])).map(\.tensor) }

  func requireFinite(_ operation: String) throws {
    try scale?.requireFinite(operation, "affine_scale")
    try bias?.requireFinite(operation, "affine_bias")
    try transform?.requireFinite(operation, "transform")
  }

  /// The image [k, d] of a copy of `codebook`, so that later writes leave the tape valid;
  /// `isTrained` lets gradients reach the map.
  func applied(to codebook: Tensor, isTrained: Bool) throws -> Tensor {
    let copy = try codebook.recordedCopy()
    if let transform { return try copy.matmul(isTrained ? transform : transform.detached()) }
    guard let map = try affine(isTrained: isTrained) else { return copy }
    let (groups, k, d) = (options.affineGroups, options.codeCount, options.width)
    let factor = try map.factor.reshape([groups, 1, d])
    let offset = try map.offset.reshape([groups, 1, d])
    return try (copy.reshape([groups, k / groups, d]) * factor + offset).reshape([k, d])
  }

  /// The affine map without gradients; nil for none.
  func affine() throws -> AffineMap? { try withoutGradients { try affine(isTrained: false) } }

  private func affine(isTrained: Bool) throws -> AffineMap? {
    if let moments { return try moments.map() }
    guard let scale, let bias else { return nil }
    let rate = options.affineLearningRate
    let factor = try (isTrained ? scale : scale.detached()) * rate + 1
    return AffineMap(factor: factor, offset: try (isTrained ? bias : bias.detached()) * rate)
  }
}

extension Tensor {
  /// The identity matrix [d, d].
  fileprivate static func identity(_ d: Int) throws -> Tensor {
    try Tensor(codes: (0..<d).map { Int32($0) }, shape: [d]).oneHot(d)
  }
}
