import VQNN
import VQTensor

/// A codebook: as it is kept, C [k, d], and as vectors are compared with it, `E = norm(map(C))`.
final class Codebook {
  /// What of E takes gradients.
  struct Parts: OptionSet {
    let rawValue: Int
    static let raw = Parts(rawValue: 1)
    static let map = Parts(rawValue: 2)
  }

  /// The layer's name in errors.
  let name: String
  let options: VectorQuantOptions
  /// C, [k, d].
  let raw: Tensor
  let map: CodebookMap
  /// What moves C in the place of gradients; nil unless it is EMA.
  let statistics: CodebookStatistics?
  /// Assigned vectors of deferred forwards.
  let waiting = WaitingVectors()
  /// E as it was last read, and the versions of what it was made of.
  private var lastRead: (versions: [Int], effective: Tensor)?

  init(_ options: VectorQuantOptions, name: String, generator: Generator) throws {
    self.name = name
    self.options = options
    raw = try options.start.codebook(options.codeCount, options.width, generator)
      .requiringGrad(.codebook)
    map = try CodebookMap(options)
    statistics = options.isEMA ? try CodebookStatistics(options, codebook: raw) : nil
  }

  var count: Int { options.codeCount }

  /// Whether gradients may train C: neither statistics move it nor does SimVQ freeze it.
  var takesGradients: Bool { statistics == nil && map.transform == nil }

  /// What E is made of and training forwards may move.
  var movedTensors: [Tensor] {
    let isMoved =
      statistics != nil || options.replaceFrequency > 0 || options.start.needsVectors
      || options.kMeansFrequency > 0
    return (isMoved ? [raw] : []) + (map.moments?.buffers.map(\.tensor) ?? [])
  }

  /// E, [k, d], whose gradient reaches `parts`.
  func effective(training parts: Parts) throws -> Tensor {
    try effective(
      of: parts.contains(.raw) ? raw : raw.detached(), mapIsTrained: parts.contains(.map))
  }

  func effective(of raw: Tensor, mapIsTrained: Bool) throws -> Tensor {
    try map.applied(to: raw, isTrained: mapIsTrained)
      .normalizedRows(options.codebookNorm, options)
  }

  /// Whether E is C.
  var isRaw: Bool { map.tensors.isEmpty && options.codebookNorm == .none }

  /// E without gradient, kept until what it is made of changes: for one vector, making it takes
  /// longer than the search.
  func read() throws -> Tensor {
    if isRaw { return raw.detached() }
    let mapped = map.tensors
    let versions = ([raw] + mapped).map(\.storage.version)
    if let lastRead, lastRead.versions == versions { return lastRead.effective }
    let made = try withoutGradients { try effective(training: []).detached() }
    lastRead = (versions, made)
    return made
  }

  // MARK: Statistics

  /// Takes assigned vectors into the statistics of an EMA codebook and, unless that waits for
  /// `update`, moves C by them.
  func follow(_ parts: [AssignedVectors]) throws {
    guard let statistics else { return }
    let affine = try map.affine()
    for part in parts { try statistics.add(part, map: affine, codebook: raw) }
    if !options.emaManual { update() }
  }

  /// The same of counts [k] and sums [k, d] of assigned vectors, as compared.
  func follow(counts: [Int32], sums: Tensor) throws {
    guard let statistics else { return }
    statistics.add(counts, sums: sums, map: try map.affine(), codebook: raw)
    if !options.emaManual { update() }
  }

  /// Moves an EMA codebook by what was added since the last update.
  func update() { statistics?.update(raw) }
}

extension CodebookStart {
  /// The codebook [k, d] before any vector is seen.
  fileprivate func codebook(_ k: Int, _ d: Int, _ generator: Generator) throws -> Tensor {
    switch self {
    case .normal, .kMeans, .plusPlus: return try generator.normal([k, d])
    case .kaiming: return try Initializer.kaimingNormal().tensor([k, d], generator: generator)
    case .uniform: return try generator.uniform([k, d], from: -1 / Float(k), to: 1 / Float(k))
    }
  }
}
