import CVQSwift
import VQTensor

func dtype(_ code: Int32) throws -> DType {
  guard let dtype = DType(rawValue: code) else {
    throw VQError.value("tensor", "dtype", "\(code)", "it must be a VQ_* of an element type")
  }
  return dtype
}

@_cdecl("vq_tensor_create") @implementation
public func vq_tensor_create(
  _ type: Int32, _ shape: Sizes!, _ rank: Int64, _ data: UnsafeRawPointer!, _ out: Out!
) -> vq_status {
  produce(out) {
    let made = try StoredTensor.uninitialized(anyOf: try dtype(type), try sizes(shape, rank))
    guard data != nil || made.count == 0 else { throw VQError.misuse("tensor", "data is NULL") }
    if made.count > 0 { made.bytes.copyMemory(from: data, byteCount: made.byteCount) }
    if let made = made as? Tensor, made.dtype == .bool {
      made.mutateCodes { for i in 0..<made.count where $0[i] != 0 { $0[i] = 1 } }
    }
    return made
  }
}

@_cdecl("vq_tensor_create_borrowed") @implementation
public func vq_tensor_create_borrowed(
  _ type: Int32, _ shape: Sizes!, _ rank: Int64, _ data: UnsafeMutableRawPointer!,
  _ release: (@convention(c) (UnsafeMutableRawPointer?) -> Void)!,
  _ context: UnsafeMutableRawPointer!, _ out: Out!
) -> vq_status {
  let owner = BorrowedBuffer(release, context)
  return produce(out) {
    try Tensor(borrowing: data, try dtype(type), shape: try sizes(shape, rank), owner: owner)
  }
}

@_cdecl("vq_points_create_borrowed") @implementation
public func vq_points_create_borrowed(
  _ data: UnsafePointer<Float>!, _ n: Int64, _ d: Int64,
  _ release: (@convention(c) (UnsafeMutableRawPointer?) -> Void)!,
  _ context: UnsafeMutableRawPointer!, _ out: Out!
) -> vq_status {
  let owner = BorrowedBuffer(release, context)
  return produce(out) {
    try Tensor(borrowingPoints: data, rows: Int(n), width: Int(d), owner: owner)
  }
}

/// Calls `release` once, when the last user of the buffer is gone.
private final class BorrowedBuffer {
  private let release: (@convention(c) (UnsafeMutableRawPointer?) -> Void)?
  private let context: UnsafeMutableRawPointer?

  init(
    _ release: (@convention(c) (UnsafeMutableRawPointer?) -> Void)?,
    _ context: UnsafeMutableRawPointer?
  ) {
    self.release = release
    self.context = context
  }

  deinit { release?(context) }
}

@_cdecl("vq_tensor_release") @implementation
public func vq_tensor_release(_ handle: Handle!) { release(handle, as: StoredTensor.self) }

@_cdecl("vq_tensor_dtype") @implementation
public func vq_tensor_dtype(_ handle: Handle!) -> Int32 {
  (try? stored(handle))?.dtype.rawValue ?? -1
}

@_cdecl("vq_tensor_rank") @implementation
public func vq_tensor_rank(_ handle: Handle!) -> Int64 {
  Int64((try? stored(handle))?.rank ?? -1)
}

@_cdecl("vq_tensor_shape") @implementation
public func vq_tensor_shape(_ handle: Handle!, _ shape: UnsafeMutablePointer<Int64>!) {
  guard let shape else { return }
  for (axis, size) in ((try? stored(handle))?.shape ?? []).enumerated() {
    shape[axis] = Int64(size)
  }
}

@_cdecl("vq_tensor_copy_out") @implementation
public func vq_tensor_copy_out(
  _ handle: Handle!, _ data: UnsafeMutableRawPointer!, _ capacity: Int64
) -> vq_status {
  catching {
    let source = try stored(handle)
    guard capacity >= source.byteCount else {
      throw VQError.value(
        "copy_out", "capacity", "\(capacity)", "\(source.byteCount) bytes are required")
    }
    guard data != nil || source.count == 0 else {
      throw VQError.misuse("copy_out", "data is NULL")
    }
    if source.count > 0 { data.copyMemory(from: source.bytes, byteCount: source.byteCount) }
  }
}

@_cdecl("vq_tensor_data") @implementation
public func vq_tensor_data(_ handle: Handle!) -> UnsafeRawPointer! {
  (try? stored(handle)).map { UnsafeRawPointer($0.bytes) }
}

@_cdecl("vq_tensor_refresh") @implementation
public func vq_tensor_refresh(
  _ handle: Handle!, _ data: UnsafeRawPointer!, _ size: Int64
) -> vq_status {
  catching {
    let tensor = try owned(handle, "refresh")
    guard size == tensor.byteCount else {
      throw VQError.value(
        "refresh", "size", "\(size)", "\(tensor.byteCount) bytes are required")
    }
    guard data != nil || size == 0 else { throw VQError.misuse("refresh", "data is NULL") }
    if size > 0 { tensor.refresh(from: data) }
  }
}

@_cdecl("vq_tensor_assign") @implementation
public func vq_tensor_assign(_ handle: Handle!, _ source: Handle!) -> vq_status {
  catching { try owned(handle, "assign").give(try tensor(source)) }
}

@_cdecl("vq_tensor_is_written") @implementation
public func vq_tensor_is_written(_ handle: Handle!) -> Bool {
  (try? stored(handle))?.isWritten ?? false
}

@_cdecl("vq_tensor_requires_grad") @implementation
public func vq_tensor_requires_grad(_ handle: Handle!) -> Bool {
  (try? stored(handle))?.requiresGrad ?? false
}

@_cdecl("vq_tensor_is_leaf") @implementation
public func vq_tensor_is_leaf(_ handle: Handle!) -> Bool {
  (try? stored(handle) as? Tensor)?.leaf != nil
}

@_cdecl("vq_tensor_requiring_grad") @implementation
public func vq_tensor_requiring_grad(_ handle: Handle!, _ role: Int32, _ out: Out!) -> vq_status {
  produce(out) {
    guard let role = ParameterRole(rawValue: role) else {
      throw VQError.value("requires_grad", "role", "\(role)", "it must be a VQ_ROLE_*")
    }
    return try owned(handle, "requires_grad").requiringGrad(role)
  }
}

@_cdecl("vq_tensor_set_requires_grad") @implementation
public func vq_tensor_set_requires_grad(_ handle: Handle!, _ requiresGrad: Bool) -> vq_status {
  catching { try owned(handle, "requires_grad").setRequiresGrad(requiresGrad) }
}

@_cdecl("vq_tensor_detach") @implementation
public func vq_tensor_detach(_ handle: Handle!, _ out: Out!) -> vq_status {
  produce(out) { try stored(handle).detached() }
}

@_cdecl("vq_tensor_grad") @implementation
public func vq_tensor_grad(_ handle: Handle!, _ out: Out!) -> vq_status {
  out?.pointee = nil
  return catching {
    if let gradient = (try stored(handle) as? Tensor)?.grad {
      try target(out).pointee = VQSwiftC.handle(gradient)
    }
  }
}

@_cdecl("vq_tensor_set_grad") @implementation
public func vq_tensor_set_grad(_ handle: Handle!, _ gradient: Handle!) -> vq_status {
  catching { try owned(handle, "grad").replaceGradient(try optionalTensor(gradient)) }
}

@_cdecl("vq_tensor_backward") @implementation
public func vq_tensor_backward(
  _ handle: Handle!, _ gradient: Handle!, _ retainGraph: Bool
) -> vq_status {
  catching { try tensor(handle).backward(try optionalTensor(gradient), retainGraph: retainGraph) }
}

@_cdecl("vq_tensor_backward_by_leaf") @implementation
public func vq_tensor_backward_by_leaf(
  _ handle: Handle!, _ gradient: Handle!, _ retainGraph: Bool, _ leaves: Handles!, _ count: Int64,
  _ done: (@convention(c) (UnsafeMutableRawPointer?, Int64) -> Bool)!,
  _ context: UnsafeMutableRawPointer!
) -> vq_status {
  catching {
    guard let done else { throw VQError.misuse("backward", "the function is NULL") }
    try tensor(handle).backward(
      try optionalTensor(gradient), retainGraph: retainGraph, leaves: try tensors(leaves, count)
    ) { place in
      guard callingHost({ done(context, Int64(place)) }) else { throw VQError.host("backward") }
    }
  }
}

@_cdecl("vq_tensor_gradients") @implementation
public func vq_tensor_gradients(
  _ handle: Handle!, _ gradient: Handle!, _ inputs: Handles!, _ count: Int64,
  _ retainGraph: Bool, _ out: Out!
) -> vq_status {
  produce(out) {
    let gradients = try tensor(handle).gradients(
      of: owned(inputs, count, "gradients"), optionalTensor(gradient), retainGraph: retainGraph)
    return NamedList(gradients.enumerated().map { (name: "\($0)", tensor: $1) })
  }
}
