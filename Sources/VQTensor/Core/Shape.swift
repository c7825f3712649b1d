/// Shape arithmetic. A shape is `[Int]`, outermost axis first.
package enum Shape {
  /// The number of elements; throws for a negative axis and for a product that overflows.
  package static func count(_ shape: [Int], _ operation: String) throws -> Int {
    var product = 1  // of the axes that are not 0: strides are products of them
    for axis in shape where axis != 0 {
      guard axis > 0 else {
        throw VQError.shape(operation, [shape], "every axis must be at least 0")
      }
      let (next, overflow) = product.multipliedReportingOverflow(by: axis)
      guard !overflow, next < 1 << 44 else { throw VQError.overflow(operation, shape) }
      product = next
    }
    return shape.contains(0) ? 0 : product
  }

  /// Row-major strides in elements.
  static func strides(_ shape: [Int]) -> [Int] {
    var strides = [Int](repeating: 1, count: shape.count)
    for axis in stride(from: shape.count - 2, through: 0, by: -1) {
      strides[axis] = strides[axis + 1] * shape[axis + 1]
    }
    return strides
  }

  /// The common shape of NumPy's broadcasting rule.
  static func broadcast(_ a: [Int], _ b: [Int], _ operation: String) throws -> [Int] {
    if a == b { return a }
    let rank = max(a.count, b.count)
    var result = [Int](repeating: 1, count: rank)
    for axis in 0..<rank {
      let left = axis < rank - a.count ? 1 : a[axis - (rank - a.count)]
      let right = axis < rank - b.count ? 1 : b[axis - (rank - b.count)]
      guard left == right || left == 1 || right == 1 else {
        throw VQError.shape(
          operation, [a, b], "axes must be equal or 1 to broadcast, and \(left) is not \(right)")
      }
      result[axis] = left == 1 ? right : left
    }
    return result
  }

  /// Strides that read `shape` as if it had the shape `target` (0 along repeated axes).
  static func broadcastStrides(_ shape: [Int], to target: [Int]) -> [Int] {
    let own = strides(shape)
    let offset = target.count - shape.count
    return target.indices.map { axis in
      axis < offset || shape[axis - offset] == 1 ? 0 : own[axis - offset]
    }
  }

  /// `axis` counted from the front; negative ones count from the back.
  static func normalize(_ axis: Int, rank: Int, _ operation: String) throws -> Int {
    let result = axis < 0 ? axis + rank : axis
    guard result >= 0, result < rank else {
      throw VQError.value(
        operation, "axis", "\(axis)", "a tensor of rank \(rank) has axes \(-rank)..<\(rank)")
    }
    return result
  }
}
