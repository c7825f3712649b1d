import VQKernels
import VQTensor

/// The vectors of one stage, their codes, and how these are used.
struct AssignedVectors {
  /// [n, d].
  let vectors: Tensor
  /// Int32 [n].
  let codes: Tensor
  /// Vectors of each code, [k].
  let counts: [Int32]
  /// `2^H`, H the entropy of the codes' use in bits.
  let perplexity: Double

  init(vectors: Tensor, codes: Tensor, counts: [Int32], perplexity: Double) {
    (self.vectors, self.codes, self.counts, self.perplexity) = (vectors, codes, counts, perplexity)
  }

  /// - Parameter codes: each in `0..<codeCount`.
  init(_ vectors: Tensor, codes: Tensor, codeCount: Int) {
    (self.vectors, self.codes) = (vectors, codes)
    let usage = codes.readCodes { codeUsage($0, rows: codes.count, codeCount: codeCount) }
    (counts, perplexity) = (usage.counts, usage.perplexity)
  }
}

extension [AssignedVectors] {
  /// Vectors of each code in all stages, [k].
  var counts: [Int32] {
    dropFirst().reduce(self[0].counts) { sum, part in zip(sum, part.counts).map { $0 &+ $1 } }
  }
}
