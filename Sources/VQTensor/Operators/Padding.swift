import VQKernels

/// What stands beyond the ends of a padded axis.
public enum PaddingMode: String, CaseIterable, Sendable {
  case constant
  /// The elements before the end, mirrored at the last one, which is not repeated.
  case reflect
  /// The last element.
  case replicate
  /// The elements from the other end.
  case circular

  /// Which elements of an axis stand at `places`; nil where none stand beyond its ends.
  fileprivate func sources(_ places: Range<Int>, size: Int) -> [Int32]? {
    let beyond: (Int) -> Int
    switch self {
    case .constant: return nil
    case .reflect: beyond = { $0 < 0 ? -$0 : 2 * (size - 1) - $0 }
    case .replicate: beyond = { $0 < 0 ? 0 : size - 1 }
    case .circular: beyond = { $0 < 0 ? $0 + size : $0 - size }
    }
    return places.map { Int32((0..<size).contains($0) ? $0 : beyond($0)) }
  }

  /// The most elements that one end of an axis can get.
  fileprivate func most(_ size: Int) -> Int {
    switch self {
    case .constant: Int(Int32.max)
    case .reflect: Swift.max(size - 1, 0)
    case .replicate: size == 0 ? 0 : Int(Int32.max)
    case .circular: size
    }
  }
}

extension Tensor {
  /// `before` and `after` elements more along `axis`; `value` is that of the mode constant.
  ///
  /// - Throws: `.value` for a width below 0 or beyond what the mode has elements for.
  public func padded(
    axis: Int, before: Int, after: Int, mode: PaddingMode = .constant, value: Float = 0
  ) throws -> Tensor {
    let operation = "pad"
    let axis = try Shape.normalize(axis, rank: rank, operation)
    let size = shape[axis]
    for (name, width) in [("before", before), ("after", after)] {
      guard width >= 0, width <= mode.most(size) else {
        throw VQError.value(
          operation, name, "\(width)",
          "must be from 0 to \(mode.most(size)): mode \(mode.rawValue), an axis of \(size)")
      }
    }
    var target = shape
    target[axis] = size + before + after
    guard target[axis] <= Int(Int32.max) else { throw VQError.overflow(operation, target) }
    _ = try Shape.count(target, operation)
    if let sources = mode.sources(-before..<size + after, size: size) {
      return try taken(operation, Tensor(codes: sources, shape: [sources.count]), axis: axis)
    }
    let (strides, places) = (Shape.strides(shape), Shape.strides(target))
    let filling =
      dtype == .float32
      ? value : Float(bitPattern: UInt32(bitPattern: Int32(clamping: Int64(value))))
    return try Tensor(operation, dtype, shape: target) { [target] out in
      out.update(repeating: filling, count: target.reduce(1, *))
      stridedCopy(
        storage.floats, strides: strides, out + before * places[axis], outStrides: places,
        shape: shape)
    }.recorded(operation, inputs: [self]) { g, _ in
      [try g.slice(axis: axis, from: before, to: before + size)]
    }
  }
}
