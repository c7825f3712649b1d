import VQNN
import VQTensor

/// A quantizer that compares vectors with the codes of one codebook or several, all of the same
/// options.
public class CodebookQuantizer: Quantizer {
  public let options: VectorQuantOptions

  init(options: VectorQuantOptions) { self.options = options }

  public override var featureSize: Int { options.featureSize }
  public override var codeCount: Int { options.codeCount }

  /// The layers of one codebook each that vectors are assigned to, in order: itself, or its parts.
  public var holders: [CodebookQuantizer] { [self] }
  var books: [Codebook] { holders.flatMap(\.books) }

  /// The codebook as vectors are compared with it, [k, code size]: after map and norm. Its gradient
  /// reaches what the caller's loss trains.
  public func effectiveCodebook() throws -> Tensor { throw undefined("effective_codebook") }

  /// Lets `optimizer` alone step the codebook, in training forwards; nil for none.
  public func stepInPlace(by optimizer: Optimizer?) throws { throw undefined("inplace_optimizer") }

  override var synchronizedCodebooks: [Tensor] {
    holders.filter { $0 !== self }.flatMap(\.synchronizedCodebooks)
  }

  public override func requireDeferrable() throws { try requireDeferrableParts() }

  override var averagedCodebooks: [Codebook] { books.filter { $0.statistics != nil } }
}
