import COpenBLAS
import Glibc

/// Soft assignments `p_ij = softmax_j(-|z_i - E_j|^2 / T)` of n vectors to k codes and their
/// entropies, by chunks of rows: never an n x k matrix.
///
/// With c the codebook's mean, the logits are `2/T ((z_i - c).(E_j - c) - |E_j - c|^2 / 2)` up to a
/// constant of the row. Rows go in chunks, chunks in groups that one thread takes; both follow from
/// the sizes alone.
public final class AssignmentEntropy {
  /// `mean_i H(p_i)` and `H(mean_i p_i)`, in nats.
  public private(set) var meanEntropy = 0.0
  public private(set) var entropyOfMean = 0.0

  private let n: Int
  private let d: Int
  private let k: Int
  private let codebook: CenteredCodebook
  private let scale: Float  // 2 / T
  /// `-log mean_i p_ij`; 0 for a code that no vector reaches.
  private let surprise: UnsafeMutablePointer<Float>
  private let chunkRows: Int
  private let groups: Int

  /// `z` [n, d] and `codebook` [k, d] hold finite numbers whose squares do not overflow; n, d and k
  /// are at least 1.
  public init(
    _ z: UnsafePointer<Float>, count n: Int, _ codebook: UnsafePointer<Float>, codes k: Int,
    width d: Int, temperature: Double
  ) {
    (self.n, self.d, self.k) = (n, d, k)
    self.codebook = CenteredCodebook(codebook, codes: k, width: d)
    scale = Float(min(2 / temperature, 1e30))
    surprise = .allocate(capacity: k)
    (chunkRows, groups) = Self.division(rows: n, codes: k, width: d)
    measure(z)
  }

  private static func division(
    rows n: Int, codes k: Int, width d: Int
  ) -> (chunkRows: Int, groups: Int) {
    let chunkRows = max(8, min(256, (1 << 19) / k))
    // A group holds [k, d] sums in the pullback.
    let most = max(4, min(16, (1 << 22) / (k * d)))
    return (chunkRows, max(1, min((n + chunkRows - 1) / chunkRows, most)))
  }

  /// What the value and its gradients take at most beside their results.
  public static func mostBytes(rows n: Int, codes k: Int, width d: Int, threads: Int) -> Int {
    let (chunkRows, groups) = division(rows: n, codes: k, width: d)
    return 4 * (groups * k * (d + 4) + 4 * k * (d + 2) + threads * chunkRows * (d + k))
  }

  deinit { surprise.deallocate() }

  private func measure(_ z: UnsafePointer<Float>) {
    let (n, k) = (n, k)
    let shares = UnsafeMutablePointer<Double>.allocate(capacity: groups * k)
    defer { shares.deallocate() }
    shares.initialize(repeating: 0, count: groups * k)
    var entropies = [Double](repeating: 0, count: groups)
    entropies.withUnsafeMutableBufferPointer { entropies in
      forEachChunk(z) { group, _, _, logits in
        for row in 0..<logits.rows {
          let p = logits.values + row * k
          entropies[group] += softmaxEntropy(p, count: k)
          addProbabilities(p, shares + group * k, count: k)
        }
      }
    }
    meanEntropy = entropies.reduce(0, +) / Double(n)
    for j in 0..<k {
      var share = 0.0
      for group in 0..<groups { share += shares[group * k + j] }
      share /= Double(n)
      let nats = share > 0 ? -Glibc.log(share) : 0
      surprise[j] = Float(nats)
      entropyOfMean += share * nats
    }
  }

  /// Gradients of `factor (mean_i H(p_i) - diversity H(mean_i p_i))`. With a = `surprise` the
  /// gradient in the logits is
  /// `W_ij = -p_ij / n (log p_ij + H_i + diversity (a_j - sum_m p_im a_m))`, whence `dz = 2/T W E`
  /// and `dE = 2/T (W^T z - diag(sum_i W_ij) E)`.
  public func gradients(
    _ z: UnsafePointer<Float>, diversity: Float, factor: Double,
    z zGradient: UnsafeMutablePointer<Float>?,
    codebook codebookGradient: UnsafeMutablePointer<Float>?
  ) {
    let (d, k, codes, surprise) = (d, k, codebook.codes, surprise)
    let step = factor / Double(n) * Double(scale)
    let held = codebookGradient == nil ? 0 : groups
    let products = UnsafeMutablePointer<Float>.allocate(capacity: max(held * k * d, 1))
    let sums = UnsafeMutablePointer<Double>.allocate(capacity: max(held * k, 1))
    defer {
      products.deallocate()
      sums.deallocate()
    }
    products.initialize(repeating: 0, count: held * k * d)
    sums.initialize(repeating: 0, count: held * k)
    forEachChunk(z) { group, first, points, logits in
      for row in 0..<logits.rows {
        weighByEntropy(logits.values + row * k, surprise, diversity, count: k)
      }
      if let zGradient {
        let out = zGradient + first * d
        cblas_sgemm(
          CblasRowMajor, CblasNoTrans, CblasNoTrans, Int32(logits.rows), Int32(d), Int32(k),
          Float(step), logits.values, Int32(k), codes, Int32(d), 0, out, Int32(d))
        for row in 0..<logits.rows {
          // Rows of W sum to 0; this takes their rounding back.
          let rest = Float(step * rowSum(logits.values + row * k, k))
          addScaled(points + row * d, -rest, out + row * d, count: d)
        }
      }
      if codebookGradient != nil {
        cblas_sgemm(
          CblasRowMajor, CblasTrans, CblasNoTrans, Int32(k), Int32(d), Int32(logits.rows), 1,
          logits.values, Int32(k), points, Int32(d), 1, products + group * k * d, Int32(d))
        for row in 0..<logits.rows {
          addProbabilities(logits.values + row * k, sums + group * k, count: k)
        }
      }
    }
    guard let codebookGradient else { return }
    let groups = groups
    parallelFor(k, grain: rowGrain(d * groups)) { range in
      for j in range {
        var weight = 0.0
        for group in 0..<groups { weight += sums[group * k + j] }
        for i in 0..<d {
          var sum = -weight * Double(codes[j * d + i])
          for group in 0..<groups { sum += Double(products[(group * k + j) * d + i]) }
          codebookGradient[j * d + i] = Float(step * sum)
        }
      }
    }
  }

  /// Calls `body` with the group, first row, centered points and logits of every chunk.
  private func forEachChunk(
    _ z: UnsafePointer<Float>,
    _ body: (
      _ group: Int, _ first: Int, _ points: UnsafePointer<Float>,
      _ logits: (values: UnsafeMutablePointer<Float>, rows: Int)
    ) -> Void
  ) {
    let (n, d, k, chunkRows, groups) = (n, d, k, chunkRows, groups)
    let (codebook, scale) = (codebook, scale)
    let chunks = (n + chunkRows - 1) / chunkRows
    useOneProductThread()
    parallelFor(groups, grain: 1) { range in
      let points = UnsafeMutablePointer<Float>.allocate(capacity: chunkRows * d)
      let logits = UnsafeMutablePointer<Float>.allocate(capacity: chunkRows * k)
      defer {
        points.deallocate()
        logits.deallocate()
      }
      for group in range {
        for chunk in group * chunks / groups..<(group + 1) * chunks / groups {
          let first = chunk * chunkRows
          let rows = min(chunkRows, n - first)
          for row in 0..<rows {
            subtract(z + (first + row) * d, codebook.floatCenter, points + row * d, count: d)
          }
          cblas_sgemm(
            CblasRowMajor, CblasNoTrans, CblasTrans, Int32(rows), Int32(k), Int32(d), 1, points,
            Int32(d), codebook.codes, Int32(d), 0, logits, Int32(k))
          for row in 0..<rows {
            shiftLogits(logits + row * k, codebook.halfNorms, scale, count: k)
          }
          body(group, first, points, (logits, rows))
        }
      }
    }
  }
}

/// Logits that lie this far below a row's largest have probability 0 in float32.
private let lowestLogit: Float = -200

/// `x = max(scale (x - halfNorms - max), lowestLogit)`: the logits minus their largest.
private func shiftLogits(
  _ x: UnsafeMutablePointer<Float>, _ halfNorms: UnsafePointer<Float>, _ scale: Float, count: Int
) {
  for j in 0..<count { x[j] -= halfNorms[j] }
  let largest = rowMaximum(x, count)
  for j in 0..<count {
    let logit = (x[j] - largest) * scale
    x[j] = logit > lowestLogit ? logit : lowestLogit
  }
}

/// Turns shifted logits in probabilities and gives their entropy, `log Z - sum e^l l / Z`.
private func softmaxEntropy(_ x: UnsafeMutablePointer<Float>, count: Int) -> Double {
  let (total, entropy) = partition(x, count: count)
  let share = Float(1 / total)
  for j in 0..<count { x[j] = exponential(x[j]) * share }
  return entropy
}

/// `Z = sum e^l` and the entropy of `e^l / Z`.
private func partition(_ x: UnsafePointer<Float>, count: Int) -> (total: Double, entropy: Double) {
  withUnsafeTemporaryAllocation(of: Float.self, capacity: 512) { tile in
    let tile = tile.baseAddress!
    var (total, products) = (0.0, 0.0)
    for start in stride(from: 0, to: count, by: 512) {
      let length = min(512, count - start)
      for i in 0..<length { tile[i] = exponential(x[start + i]) }
      total += rowSum(tile, length)
      for i in 0..<length { tile[i] *= x[start + i] }
      products += rowSum(tile, length)
    }
    return (total, Glibc.log(total) - products / total)
  }
}

/// Turns shifted logits l in `-p (log p + H + diversity (a - sum p a))`.
private func weighByEntropy(
  _ x: UnsafeMutablePointer<Float>, _ a: UnsafePointer<Float>, _ diversity: Float, count: Int
) {
  let (total, entropy) = partition(x, count: count)
  let share = Float(1 / total)
  withUnsafeTemporaryAllocation(of: Float.self, capacity: count) { buffer in
    let p = buffer.baseAddress!
    for j in 0..<count { p[j] = exponential(x[j]) * share }
    let mean = Float(dotProduct(p, a, width: count))
    // log p + H = l + (H - log Z).
    let shift = Float(entropy - Glibc.log(total))
    for j in 0..<count { x[j] = -p[j] * ((x[j] + shift) + diversity * (a[j] - mean)) }
  }
}

private func addProbabilities(
  _ p: UnsafePointer<Float>, _ sums: UnsafeMutablePointer<Double>, count: Int
) {
  for j in 0..<count { sums[j] += Double(p[j]) }
}

private func subtract(
  _ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>,
  count: Int
) {
  for i in 0..<count { out[i] = x[i] - y[i] }
}

private func addScaled(
  _ x: UnsafePointer<Float>, _ factor: Float, _ out: UnsafeMutablePointer<Float>, count: Int
) {
  for i in 0..<count { out[i] += factor * x[i] }
}
