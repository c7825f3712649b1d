import CPlatform

private struct Loop {
  let count: Int
  let grain: Int
  let next: UnsafeMutablePointer<vq_atomic>
  let body: (Range<Int>) -> Void
}

/// Calls `body` with chunks of `0..<count`, each `grain` long save the last, taken by the threads as
/// they come. What a chunk computes must not depend on the others: results then are the same for
/// every thread count.
public func parallelFor(_ count: Int, grain: Int, _ body: (Range<Int>) -> Void) {
  let grain = max(grain, 1)
  let threads = min(Int(vq_thread_count()), (count + grain - 1) / grain)
  if threads <= 1 {
    let control = vq_enter_kernels()
    defer { vq_leave_kernels(control) }
    var start = 0
    while start < count {
      body(start..<min(start + grain, count))
      start += grain
    }
    return
  }
  var next = vq_atomic(value: 0)
  withoutActuallyEscaping(body) { body in
    withUnsafeMutablePointer(to: &next) { next in
      var loop = Loop(count: count, grain: grain, next: next, body: body)
      withUnsafeMutablePointer(to: &loop) { loop in
        vq_parallel(
          { context in
            let loop = context!.assumingMemoryBound(to: Loop.self)
            while true {
              let start = Int(vq_atomic_add(loop.pointee.next, Int64(loop.pointee.grain)))
              guard start < loop.pointee.count else { return }
              loop.pointee.body(start..<min(start + loop.pointee.grain, loop.pointee.count))
            }
          }, loop, Int32(threads))
      }
    }
  }
}

/// Threads that loops use.
public var threadCount: Int {
  get { Int(vq_thread_count()) }
  set { vq_set_thread_count(Int32(newValue)) }
}

/// Whether kernels take denormal numbers for zero, save those that decide codes.
public var flushesDenormals: Bool {
  get { vq_flushes_denormals() }
  set { vq_set_flushes_denormals(newValue) }
}

/// A scope in which kernels of the calling thread keep denormal numbers, since they decide codes.
public struct GradualUnderflow {
  public init() { vq_begin_gradual_underflow() }
  public func end() { vq_end_gradual_underflow() }
}
