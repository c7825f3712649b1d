import VQTensor

/// A quantizer that compares vectors with the codes of one codebook or several, all of the same options.
public class CodebookQuantizer: Quantizer {
  public let options: VectorQuantOptions

  init(options: VectorQuantOptions) { self.options = options }

  public override var featureSize: Int { options.featureSize }
  public override var codeCount: Int { options.codeCount }

  /// The layers whose codebooks vectors are assigned to, in order.
  public var vectorQuants: [VectorQuant] { [] }

  override var averagedCodebooks: [Codebook] {
    vectorQuants.map(\.book).filter { $0.statistics != nil }
  }
}
