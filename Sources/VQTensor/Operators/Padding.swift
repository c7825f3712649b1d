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

  /// Which element of an axis stands at `place`, negative for none.
  fileprivate func source(_ place: Int, size: Int) -> Int {
    if (0..<size).contains(place) { return place }
    switch self {
    case .constant: return -1
    case .reflect: return place < 0 ? -place : 2 * (size - 1) - place
    case .replicate: return place < 0 ? 0 : size - 1
    case .circular: return place < 0 ? place + size : place - size
    }
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
    let sources = (0..<target[axis]).map { Int32(mode.source($0 - before, size: size)) }
    let outer = shape.prefix(axis).reduce(1, *)
    let inner = shape.dropFirst(axis + 1).reduce(1, *)
    let filling =
      dtype == .float32
      ? value : Float(bitPattern: UInt32(bitPattern: Int32(clamping: Int64(value))))
    return try Tensor(operation, dtype, shape: target) { out in
      gatherAlongAxis(
        storage.floats, outer: outer, size: size, inner: inner, sources: sources,
        filling: filling, out)
    }.recorded(operation, inputs: [self]) { [shape] g, _ in
      let gradient = try Tensor.zeros(shape)
      scatterAlongAxis(
        g.storage.floats, outer: outer, size: size, inner: inner, sources: sources,
        gradient.storage.floats)
      return [gradient]
    }
  }
}
