import VQKernels
import VQTensor

/// Codes for which a table of counts is kept; beyond, the codes of the batch are sorted.
private let tableLimit = 1 << 20

/// The perplexity of int32 `codes`, each in `0..<codeCount`, and how many are in use.
func usage(of codes: Tensor, codeCount: Int) -> (perplexity: Double, active: Int) {
  codes.readCodes {
    guard codeCount <= tableLimit else { return codeUsage($0, rows: codes.count) }
    let usage = codeUsage($0, rows: codes.count, codeCount: codeCount)
    return (usage.perplexity, usage.active)
  }
}
