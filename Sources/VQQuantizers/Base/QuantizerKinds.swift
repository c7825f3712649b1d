import VQNN
import VQTensor

extension VectorQuant {
  public static let kind = ModuleKind("vector_quant", VectorQuantOptions.table) { options, _ in
    try VectorQuant(options)
  }
}

/// The options of a `GroupVectorQuant` by name.
public struct GroupVectorQuantOptions {
  public var codebook = VectorQuantOptions.table.start
  public var groups = 1
  public var isShared = false

  public static let table = VectorQuantOptions.table.extended(
    GroupVectorQuantOptions(), at: \.codebook
  ) {
    Option("groups", \.groups, isRequired: true)
    Option("shared", \.isShared)
  }
}

extension GroupVectorQuant {
  public static let kind = ModuleKind("group_vector_quant", GroupVectorQuantOptions.table) {
    options, _ in
    try GroupVectorQuant(options.codebook, groups: options.groups, isShared: options.isShared)
  }
}

/// The options of a `ResidualVectorQuant` by name.
public struct ResidualVectorQuantOptions {
  public var codebook = VectorQuantOptions.table.start
  public var stages = 1
  public var isShared = false
  public var dropout: Float = 0

  public static let table = VectorQuantOptions.table.extended(
    ResidualVectorQuantOptions(), at: \.codebook
  ) {
    Option("stages", \.stages, isRequired: true)
    Option("shared", \.isShared)
    Option("quantizer_dropout", \.dropout)
  }
}

extension ResidualVectorQuant {
  public static let kind = ModuleKind("residual_vector_quant", ResidualVectorQuantOptions.table) {
    options, _ in
    try ResidualVectorQuant(
      options.codebook, stages: options.stages, isShared: options.isShared,
      dropout: options.dropout)
  }
}

/// The options of an `FSQ` by name.
public struct FSQOptions {
  public var levels: [Int] = []

  public static let table = OptionTable(FSQOptions()) {
    Option("levels", \.levels, isRequired: true)
  }
}

extension FSQ {
  public static let kind = ModuleKind("fsq", FSQOptions.table) { options, _ in
    try FSQ(levels: options.levels)
  }
}

extension LFQ {
  public static let kind = ModuleKind("lfq", LFQOptions.table) { options, _ in try LFQ(options) }
}

extension GumbelQuant {
  public static let kind = ModuleKind("gumbel_quant", GumbelQuantOptions.table) { options, _ in
    try GumbelQuant(options)
  }
}

extension SQVAEQuant {
  public static let kind = ModuleKind("sqvae_quant", SQVAEQuantOptions.table) { options, _ in
    try SQVAEQuant(options)
  }
}
