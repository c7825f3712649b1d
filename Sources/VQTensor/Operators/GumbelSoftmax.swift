import VQKernels

extension Tensor {
  /// `softmax((x + g) / temperature)` of each row of logits [..., k], k at least 1, g standard
  /// Gumbel numbers.
  package func gumbelSoftmax(temperature: Float, generator: Generator) throws -> Tensor {
    let operation = "gumbel_softmax"
    let k = shape[rank - 1]
    let n = count / k
    let state = generator.words(count)
    let result = try Tensor(operation, shape: shape) { out in
      read { addGumbelNoise(state, $0, out, count: count, scale: 1 / temperature) }
      softmaxRows(logarithmic: false, out, out, rows: n, columns: k)
    }
    let saved = Saved(result)
    return result.recorded(operation, inputs: [self]) { gradient, _ in
      let y = try saved.tensor(operation)
      let inScaled = try Tensor(operation, shape: y.shape) { out in
        y.read { y in
          gradient.read {
            softmaxRowsGradient(logarithmic: false, y, $0, out, rows: n, columns: k)
          }
        }
      }
      return [try inScaled * (1 / temperature)]
    }
  }
}
