import VQKernels

extension Tensor {
  /// `e^x / sum(e^x)` along `axis`.
  public func softmax(axis: Int = -1) throws -> Tensor {
    try softmax("softmax", logarithmic: false, axis)
  }

  /// `x - log(sum(e^x))` along `axis`.
  public func logSoftmax(axis: Int = -1) throws -> Tensor {
    try softmax("log_softmax", logarithmic: true, axis)
  }

  private func softmax(_ operation: String, logarithmic: Bool, _ axis: Int) throws -> Tensor {
    try requireFloat(operation)
    let axis = try Shape.normalize(axis, rank: rank, operation)
    if axis != rank - 1 {
      var order = Array(0..<rank)
      order.swapAt(axis, rank - 1)
      return try permute(order).softmax(operation, logarithmic: logarithmic, rank - 1).permute(
        order)
    }
    let columns = shape[axis]
    let rows = columns == 0 ? 0 : count / columns
    let result = try Tensor(operation, shape: shape) { out in
      softmaxRows(logarithmic: logarithmic, storage.floats, out, rows: rows, columns: columns)
    }
    let saved = Saved(result)
    return result.recorded(operation, inputs: [self]) { g, _ in
      let y = try saved.tensor(operation)
      return [
        try Tensor(operation, shape: y.shape) { out in
          softmaxRowsGradient(
            logarithmic: logarithmic, y.storage.floats, g.storage.floats, out, rows: rows,
            columns: columns)
        }
      ]
    }
  }
}
