import VQKernels
import VQTensor

/// What `expectedLogProbability` finds of rows of logits.
struct CategoricalRows {
  /// `sum_j p_j log p_j` of each row, [n]: minus its entropy in nats.
  let values: Tensor
  /// `log(sum_j e^x_j)` of each row, [n], not recorded.
  let logSums: Tensor
}

extension Tensor {
  /// `sum_j p_j log p_j` of each row of logits [n, k], p its softmax.
  func expectedLogProbability() throws -> CategoricalRows {
    let operation = "expected_log_probability"
    try requireFloat(operation)
    guard rank == 2, shape[1] > 0 else {
      throw VQError.shape(operation, [shape], "logits [n, k] with k at least 1 are required")
    }
    let (n, k) = (shape[0], shape[1])
    let logSums = try Tensor(operation, shape: [n]) { _ in }
    let expected = try Tensor(operation, shape: [n]) { out in
      read { x in
        logSums.mutate {
          expectedLogProbabilityRows(x, expected: out, logSums: $0, rows: n, columns: k)
        }
      }
    }
    let (logits, result, sums) = (Saved(self), Saved(expected), Saved(logSums))
    let recorded = expected.recorded(operation, inputs: [self]) { gradient, _ in
      let (x, y) = (try logits.tensor(operation), try result.tensor(operation))
      let sums = try sums.tensor(operation)
      return [
        try Tensor(operation, shape: [n, k]) { out in
          x.read { x in
            y.read { y in
              sums.read { sums in
                gradient.read {
                  expectedLogProbabilityRowsGradient(
                    x, expected: y, logSums: sums, $0, out, rows: n, columns: k)
                }
              }
            }
          }
        }
      ]
    }
    return CategoricalRows(values: recorded, logSums: logSums)
  }

  /// `-log p` of a code in each row of logits [n, k], from their `logSums` [n]: [n], not recorded.
  func surprisal(of codes: Tensor, logSums: Tensor) throws -> Tensor {
    let (n, k) = (shape[0], shape[1])
    return try Tensor("surprisal", shape: [n]) { out in
      read { x in
        logSums.read { sums in
          codes.readCodes {
            surprisalOfCodes(x, logSums: sums, $0, out, rows: n, columns: k)
          }
        }
      }
    }
  }
}
