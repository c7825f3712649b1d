import VQNN
import VQTensor

/// A quantizer that compares vectors with the codes of one codebook or several, all of the same
/// options.
public class CodebookQuantizer: Quantizer {
  public let options: VectorQuantOptions

  init(options: VectorQuantOptions) { self.options = options }

  public override var featureSize: Int { options.featureSize }
  public override var codeCount: Int { options.codeCount }

  /// The codebooks that vectors are assigned to, in order.
  var books: [Codebook] { [] }
  public var codebookCount: Int { books.count }

  /// Codebook `index` as vectors are compared with it, [k, code size]: after map and norm. Its
  /// gradient reaches what the caller's loss trains.
  public func effectiveCodebook(at index: Int) throws -> Tensor { try books[index].read() }

  /// Lets `optimizer` alone step codebook `index`, in training forwards; nil for none.
  public func step(_ index: Int, inPlaceBy optimizer: Optimizer?) throws {}

  override var averagedCodebooks: [Codebook] { books.filter { $0.statistics != nil } }
}
