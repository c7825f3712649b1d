import VQKernels
import VQNN
import VQTensor

/// Counts and sums of an EMA codebook (van den Oord et al. 2017, appendix A.1), in raw space.
///
/// Counts start at 1, sums at C. Without smoothing and with one vector a code, an update is an SGD
/// step on the commitment loss at beta = 1 with rate 1 - decay (A.2).
final class CodebookStatistics {
  /// [k] and [k, d].
  let counts: Tensor
  let sums: Tensor
  /// What batches added since the last update.
  let pendingCounts: Tensor
  let pendingSums: Tensor
  private let options: VectorQuantOptions

  init(_ options: VectorQuantOptions, codebook: Tensor) throws {
    self.options = options
    counts = try .ones([options.codeCount])
    sums = try codebook.copied()
    pendingCounts = try .zeros(counts.shape)
    pendingSums = try .zeros(sums.shape)
  }

  /// What waits for an update is state only where an update may wait.
  var buffers: [NamedTensor] {
    let kept: [NamedTensor] = [("ema_counts", counts), ("ema_sums", sums)]
    guard options.emaManual else { return kept }
    return kept + [("ema_pending_counts", pendingCounts), ("ema_pending_sums", pendingSums)]
  }

  var pending: [Tensor] { [pendingCounts, pendingSums] }

  /// Adds vectors with their codes; `map` is the affine map of `codebook`.
  func add(_ part: AssignedVectors, map: AffineMap?, codebook: Tensor) throws {
    let (k, d) = (options.codeCount, options.width)
    let groups = CodeIndex(part.codes, codeCount: k).groups
    let batch = try Tensor("ema", shape: [k, d]) { out in
      part.vectors.read { sumByCode($0, groups, width: d, scale: 1, out) }
    }
    add(part.counts, sums: batch, map: map, codebook: codebook)
  }

  /// Adds vectors by the count and sum of each code, [k] and [k, d].
  func add(_ counts: [Int32], sums batch: Tensor, map: AffineMap?, codebook: Tensor) {
    let (k, d) = (options.codeCount, options.width)
    pendingCounts.mutate { pendingCounts in
      pendingSums.mutate { pendingSums in
        batch.read { batch in
          codebook.read { codebook in
            map.read { factor, offset in
              addCodeStatistics(
                batch, counts: counts, width: d, factor: factor, offset: offset,
                groupSize: k / options.affineGroups, codebook: codebook,
                pendingCounts: pendingCounts, pendingSums: pendingSums)
            }
          }
        }
      }
    }
  }

  /// Moves counts, sums and `codebook` by what was added, if anything was.
  func update(_ codebook: Tensor) {
    let (k, d) = (options.codeCount, options.width)
    guard pendingCounts.values.contains(where: { $0 > 0 }) else { return }
    codebook.mutate { codebook in
      counts.mutate { counts in
        sums.mutate { sums in
          pendingCounts.read { pendingCounts in
            pendingSums.read { pendingSums in
              updateByStatistics(
                counts: counts, sums: sums, pendingCounts: pendingCounts,
                pendingSums: pendingSums, codes: k, width: d, decay: options.emaDecay,
                epsilon: options.emaEpsilon, codebook)
            }
          }
        }
      }
    }
    pendingCounts.mutate { $0.update(repeating: 0, count: k) }
    pendingSums.mutate { $0.update(repeating: 0, count: k * d) }
  }

  /// Starts rows anew from `codebook`, each with a weight; nil for the counts that they have.
  func restart(_ rows: [Int], weights: [Float]?, from codebook: Tensor) {
    let d = options.width
    codebook.read { codebook in
      counts.mutate { counts in
        sums.mutate { sums in
          for (index, row) in rows.enumerated() {
            let weight = weights?[index] ?? counts[row]
            counts[row] = weight
            for i in row * d..<(row + 1) * d { sums[i] = weight * codebook[i] }
          }
        }
      }
    }
    pendingCounts.mutate { clearRows($0, rows, columns: 1) }
    pendingSums.mutate { clearRows($0, rows, columns: d) }
  }
}
