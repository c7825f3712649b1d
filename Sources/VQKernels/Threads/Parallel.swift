import CPlatform

/// Whether a loop is to end early, as its chunks see it.
public struct LoopStop {
  /// The next index that a thread takes; `LoopStop.end` once the loop has stopped.
  fileprivate let next: UnsafeMutablePointer<vq_atomic>
  fileprivate let mayStop: Bool

  /// Further than any loop counts, and far enough from overflow for the threads that add to it.
  fileprivate static let end = Int64.max / 2

  /// Whether the chunk is to return at once, its result undefined. Asked between blocks of work
  /// that take milliseconds.
  public var isRequested: Bool {
    guard mayStop else { return false }
    if vq_atomic_load(next) >= Self.end { return true }
    guard loopIsStopped() else { return false }
    vq_atomic_store(next, Self.end)
    return true
  }
}

private struct Loop {
  let count: Int
  let grain: Int
  let stop: LoopStop
  let body: (Range<Int>, LoopStop) -> Void
}

/// Calls `body` with chunks of `0..<count`, each `grain` long save the last, taken by the threads
/// as they come. What a chunk computes must not depend on the others: results then are the same for
/// every thread count.
///
/// Within `stoppingLoops` an interruption ends the loop between chunks.
public func parallelFor(_ count: Int, grain: Int, _ body: (Range<Int>) -> Void) {
  parallelFor(count, grain: grain) { range, _ in body(range) }
}

/// `parallelFor` with chunks that take long: they ask themselves whether to stop.
public func parallelFor(_ count: Int, grain: Int, _ body: (Range<Int>, LoopStop) -> Void) {
  if vq_loops() == VQ_LOOPS_STOPPED { return }
  let grain = max(grain, 1)
  let threads = min(Int(vq_thread_count()), (count + grain - 1) / grain)
  var next = vq_atomic(value: 0)
  withUnsafeMutablePointer(to: &next) { next in
    let stop = LoopStop(next: next, mayStop: vq_loops() == VQ_LOOPS_MAY_STOP)
    if threads <= 1 {
      let control = vq_enter_kernels()
      defer { vq_leave_kernels(control) }
      var start = 0
      while start < count && !stop.isRequested {
        body(start..<min(start + grain, count), stop)
        start += grain
      }
      return
    }
    withoutActuallyEscaping(body) { body in
      var loop = Loop(count: count, grain: grain, stop: stop, body: body)
      withUnsafeMutablePointer(to: &loop) { loop in
        vq_parallel(
          { context in
            let loop = context!.assumingMemoryBound(to: Loop.self)
            while !loop.pointee.stop.isRequested {
              let start = Int(vq_atomic_add(loop.pointee.stop.next, Int64(loop.pointee.grain)))
              guard start < loop.pointee.count else { return }
              loop.pointee.body(
                start..<min(start + loop.pointee.grain, loop.pointee.count), loop.pointee.stop)
            }
          }, loop, Int32(threads))
      }
    }
  }
}

/// Runs `body`, whose parallel loops on this thread end early when it is interrupted. What they
/// computed is then undefined: whoever stops them drops it.
///
/// - Returns: false when they were stopped.
public func stoppingLoops(_ body: () throws -> Void) rethrows -> Bool {
  let before = vq_loops()
  if before == VQ_LOOPS_STOPPED { return false }
  vq_set_loops(VQ_LOOPS_MAY_STOP)
  var isWhole = true
  defer {
    // A stopped loop within a chunk of another stops that one too.
    vq_set_loops(!isWhole && before == VQ_LOOPS_MAY_STOP ? VQ_LOOPS_STOPPED : before)
  }
  defer { isWhole = vq_loops() != VQ_LOOPS_STOPPED }
  try body()
  return vq_loops() != VQ_LOOPS_STOPPED
}

/// Runs `body`, whose result stays, to its end.
public func completingLoops<Result>(_ body: () throws -> Result) rethrows -> Result {
  let before = vq_loops()
  vq_set_loops(VQ_LOOPS_RUN_ON)
  defer { vq_set_loops(before) }
  return try body()
}

/// Runs `body`, which writes what stays, to its end; not at all where the loops before it were
/// stopped.
public func writingLoops(_ body: () throws -> Void) rethrows {
  if vq_loops() != VQ_LOOPS_STOPPED { try completingLoops(body) }
}

/// Whether a sequential loop of the calling thread is to end early, its result undefined.
public func loopIsStopped() -> Bool {
  if vq_loops() == VQ_LOOPS_MAY_STOP, vq_is_interrupted() { vq_set_loops(VQ_LOOPS_STOPPED) }
  return vq_loops() == VQ_LOOPS_STOPPED
}

/// Threads that loops use.
public var threadCount: Int {
  get { Int(vq_thread_count()) }
  set { vq_set_thread_count(Int32(newValue)) }
}

/// A scope in which kernels of the calling thread keep denormal numbers, since they decide codes.
public struct GradualUnderflow {
  public init() { vq_begin_gradual_underflow() }
  public func end() { vq_end_gradual_underflow() }
}
