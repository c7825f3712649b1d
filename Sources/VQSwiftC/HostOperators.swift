import CPlatform
import CVQSwift
import VQKernels
import VQTensor

public typealias HostRelease = @convention(c) (UnsafeMutableRawPointer?) -> Void
public typealias HostPullback =
  @convention(c) (
    UnsafeMutableRawPointer?, OpaquePointer?, UnsafeMutablePointer<OpaquePointer?>?, Int64
  ) -> Bool
public typealias HostFunction =
  @convention(c) (
    UnsafeMutableRawPointer?, UnsafeMutablePointer<OpaquePointer?>?, Int64,
    UnsafeMutablePointer<OpaquePointer?>?
  ) -> Bool

/// Runs a function of the host's outside the calls of the thread: it may take a lock whose holder
/// forks. Loops that it runs are whole.
func callingHost<Result>(_ body: () -> Result) -> Result {
  let calls = vq_suspend_calls()
  defer { vq_resume_calls(calls) }
  return completingLoops(body)
}

/// What the host keeps for its function, released once.
final class HostContext {
  let pointer: UnsafeMutableRawPointer?
  private let release: HostRelease?

  init(_ pointer: UnsafeMutableRawPointer?, _ release: HostRelease?) {
    (self.pointer, self.release) = (pointer, release)
  }

  deinit {
    if let release { callingHost { release(pointer) } }
  }
}

@_cdecl("vq_tensor_record") @implementation
public func vq_tensor_record(
  _ operation: Text!, _ value: Handle!, _ inputs: Handles!, _ count: Int64, _ saved: Handles!,
  _ savedCount: Int64, _ pullback: HostPullback!, _ release: HostRelease!,
  _ context: UnsafeMutableRawPointer!, _ out: Out!
) -> vq_status {
  let context = HostContext(context, release)
  return produce(out) {
    let name = try string(operation)
    guard let pullback else { throw VQError.misuse(name, "the pullback is NULL") }
    let (value, inputs) = (try tensor(value), try tensors(inputs, count))
    guard value.dtype == .float32 else {
      throw VQError.type(name, [value.dtype], "the value must be float32")
    }
    let kept = try tensors(saved, savedCount).map { Saved($0) }
    let shapes = inputs.map(\.shape)
    return value.recorded(name, inputs: inputs) { gradient, needs in
      for each in kept { _ = try each.tensor(name) }
      var given = [OpaquePointer?](repeating: nil, count: shapes.count)
      let isDone = given.withUnsafeMutableBufferPointer { given in
        callingHost {
          pullback(context.pointer, handle(gradient), given.baseAddress, Int64(given.count))
        }
      }
      let gradients = given.map { $0.map(taken) }
      guard isDone else { throw VQError.host(name) }
      return try zip(gradients, shapes).enumerated().map { index, pair in
        guard needs[index], let gradient = try pair.0?.widened() else { return nil }
        guard gradient.shape == pair.1, gradient.dtype == .float32 else {
          throw VQError.shape(
            name, [gradient.shape, pair.1],
            "the gradient of input \(index) must be float32 of the input's shape")
        }
        return gradient.detached()
      }
    }
  }
}

@_cdecl("vq_tensor_checkpoint") @implementation
public func vq_tensor_checkpoint(
  _ inputs: Handles!, _ count: Int64, _ function: HostFunction!, _ release: HostRelease!,
  _ context: UnsafeMutableRawPointer!, _ out: Out!
) -> vq_status {
  let context = HostContext(context, release)
  return produce(out) {
    let name = "checkpoint"
    guard let function else { throw VQError.misuse(name, "the function is NULL") }
    return try Tensor.checkpoint(try tensors(inputs, count)) { inputs in
      var handles: [OpaquePointer?] = inputs.map { handle($0) }
      var result: OpaquePointer?
      let isDone = handles.withUnsafeMutableBufferPointer { handles in
        callingHost {
          function(context.pointer, handles.baseAddress, Int64(handles.count), &result)
        }
      }
      let given = result.map(taken)
      guard isDone else { throw VQError.host(name) }
      guard let given else { throw VQError.misuse(name, "the function gave no tensor") }
      return try given.widened()
    }
  }
}

/// The tensor of a handle that the host gives away.
private func taken(_ handle: OpaquePointer) -> StoredTensor {
  _ = vq_atomic_add(liveHandles, -1)
  return Unmanaged<StoredTensor>.fromOpaque(UnsafeRawPointer(handle)).takeRetainedValue()
}
