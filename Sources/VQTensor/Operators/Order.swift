import VQKernels

extension Tensor {
  /// int32 positions along `axis` of its elements in ascending or descending order, the `count`
  /// first or all; the lowest of equal elements first. NaN is greater than every number.
  public func argsort(
    axis: Int = -1, descending: Bool = false, count first: Int? = nil
  ) throws -> Tensor {
    let operation = "argsort"
    let axis = try Shape.normalize(axis, rank: rank, operation)
    let length = shape[axis]
    let first = first ?? length
    guard 0 <= first, first <= length else {
      throw VQError.value(
        operation, "count", "\(first)", "must lie in 0...\(length), the size of axis \(axis)")
    }
    guard length <= Int(Int32.max) else { throw VQError.overflow(operation, shape) }
    if axis != rank - 1 {
      var order = Array(0..<rank)
      order.swapAt(axis, rank - 1)
      return try detached().permute(order).argsort(descending: descending, count: first)
        .permute(order)
    }
    let rows = shape.dropLast().reduce(1, *)
    return try Tensor(operation, codeShape: shape.dropLast() + [first]) { out in
      if rows * first == 0 { return }
      let (slots, keys) = orderScratch(rows: rows, columns: length, count: first)
      let scratch = try Storage(.float32, count: 2 * slots * keys)
      withExtendedLifetime(scratch) {
        orderRows(
          storage.ints, areFloats: dtype == .float32, descending: descending, out, rows: rows,
          columns: length, count: first, scratch: scratch.floats, slots: slots)
      }
    }
  }
}
