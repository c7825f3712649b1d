import Glibc
import VQTensor

/// The probability that a code is chosen at least `atLeast` times in a batch when each of the k
/// codes is as likely as the others (Huh et al. 2023, eq. 29):
/// `1 - sum over j < atLeast of C(N, j) (1/k)^j (1 - 1/k)^(N - j)`.
///
/// N is the number of vectors, `b floor(h / 2^p) floor(w / 2^p)` after p poolings of 2 x 2: the
/// paper's b h w / 2^p is a misprint of b h w / 4^p. The relative error is about `2^-52 N log N`.
///
/// - Throws: `value` for sizes below 1, negative counts, poolings that leave no vector, and more
///   than 2^40 vectors; `overflow`.
public func activationProbability(
  codeCount: Int, batchSize: Int, height: Int, width: Int, poolLayers: Int = 0, atLeast: Int = 1
) throws -> Double {
  let operation = "activation_probability"
  for (name, value, least) in [
    ("num_codes", codeCount, 1), ("batch_size", batchSize, 1), ("height", height, 1),
    ("width", width, 1), ("pool_layers", poolLayers, 0), ("at_least", atLeast, 0),
  ] where value < least {
    throw VQError.value(operation, name, "\(value)", "must be at least \(least)")
  }
  let (h, w) = (height >> poolLayers, width >> poolLayers)
  guard h > 0, w > 0 else {
    throw VQError.value(
      operation, "pool_layers", "\(poolLayers)", "a \(height) x \(width) image has no pixel left")
  }
  let (area, tooWide) = h.multipliedReportingOverflow(by: w)
  let (trials, tooMany) = area.multipliedReportingOverflow(by: batchSize)
  guard !tooWide, !tooMany else { throw VQError.overflow(operation, [batchSize, h, w]) }
  guard trials <= 1 << 40 else {
    throw VQError.value(
      operation, "batch_size", "\(batchSize)",
      "\(trials) vectors are more than 2^40, of which the probability has no digit left")
  }
  return binomialTail(trials: trials, probability: 1 / Double(codeCount), atLeast: atLeast)
}

/// `P(X >= k)` for X binomial, summed over the side that does not hold the mean: no digits are
/// lost, be the result near 0 or near 1.
func binomialTail(trials n: Int, probability p: Double, atLeast k: Int) -> Double {
  if k <= 0 { return 1 }
  if k > n { return 0 }
  if p >= 1 { return 1 }
  let odds = p / (1 - p)
  // Terms fall away from the mean by ratios that only shrink, to 0 at the last.
  if Double(k) > Double(n) * p {
    var term = exp(logBinomialTerm(n, p, k))
    var sum = 0.0
    var j = k
    while term > sum * 0x1p-60 {
      sum += term
      term *= Double(n - j) / Double(j + 1) * odds
      j += 1
    }
    return min(sum, 1)
  }
  var term = exp(logBinomialTerm(n, p, k - 1))
  var sum = 0.0
  var j = k - 1
  while term > sum * 0x1p-60 {
    sum += term
    term *= Double(j) / Double(n - j + 1) / odds
    j -= 1
  }
  return max(1 - sum, 0)
}

/// `log(C(n, j) p^j (1 - p)^(n - j))`.
private func logBinomialTerm(_ n: Int, _ p: Double, _ j: Int) -> Double {
  func logFactorial(_ m: Int) -> Double { lgamma(Double(m) + 1).0 }
  return logFactorial(n) - logFactorial(j) - logFactorial(n - j) + Double(j) * log(p)
    + Double(n - j) * log1p(-p)
}
