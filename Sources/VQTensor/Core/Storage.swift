import CPlatform
import Glibc
import VQKernels

/// Element types.
public enum DType: Int32, CustomStringConvertible {
  case float32 = 0
  case int32 = 1
  /// Elements of an int32 each, 0 or 1.
  case bool = 2
  /// Halves, which are stored and not computed with.
  case float16 = 3
  case bfloat16 = 4

  public var byteCount: Int { half == nil ? 4 : 2 }
  public var description: String {
    switch self {
    case .float32: "float32"
    case .int32: "int32"
    case .bool: "bool"
    case .float16: "float16"
    case .bfloat16: "bfloat16"
    }
  }

  /// The format of halves; nil of elements that operators compute with.
  public var half: HalfFormat? {
    switch self {
    case .float16: .float16
    case .bfloat16: .bfloat16
    case .float32, .int32, .bool: nil
    }
  }
}

/// Reused 64-byte aligned buffers, by size class.
///
/// A step of training takes what the last one gave, all of its activations: fresh pages, which the
/// system clears, cost as much as the arithmetic on them. In use and idle together are at most the
/// largest use so far and `slack`. After a shortage nothing is kept until there is memory for a new
/// buffer.
final class BufferPool: @unchecked Sendable {
  static let shared = BufferPool()

  private var free: [Int: [UnsafeMutableRawPointer]] = [:]
  private(set) var idleBytes = 0
  private var usedBytes = 0
  private var mostUsedBytes = 0
  private var isShort = false
  private var lock = pthread_mutex_t()
  private let slack: Int
  private let idleLimit: Int
  /// Bytes from which on a buffer serves smaller sizes.
  private static let leastShared = 1 << 20

  init(slack: Int = 1 << 30, idleLimit: Int = 1 << 32) {
    self.slack = slack
    self.idleLimit = idleLimit
    pthread_mutex_init(&lock, nil)
  }

  deinit {
    trim(to: 0)
    pthread_mutex_destroy(&lock)
  }

  /// Rounds up to an eighth of the next lower power of two, so that sizes close to each other
  /// share.
  static func sizeClass(_ bytes: Int) -> Int {
    let bytes = max(bytes, 64)
    let step = max(64, 1 << (Int.bitWidth - 1 - bytes.leadingZeroBitCount - 3))
    return (bytes + step - 1) / step * step
  }

  /// A buffer of the size class `bytes`, or a large one that is idle and not much larger.
  func take(_ bytes: Int) throws -> UnsafeMutableRawBufferPointer {
    pthread_mutex_lock(&lock)
    defer { pthread_mutex_unlock(&lock) }
    if let idle = idleBuffer(bytes) {
      count(use: idle.count)
      return idle
    }
    let used = usedBytes + bytes
    trim(to: max(mostUsedBytes, used) + slack - used)
    var pointer = Self.allocate(bytes)
    if pointer == nil && idleBytes > 0 {
      trim(to: 0)
      pointer = Self.allocate(bytes)
    }
    isShort = pointer == nil
    guard let pointer else { throw VQError.memory(bytes: bytes) }
    count(use: bytes)
    return UnsafeMutableRawBufferPointer(start: pointer, count: bytes)
  }

  private func idleBuffer(_ bytes: Int) -> UnsafeMutableRawBufferPointer? {
    var size = bytes
    let most = bytes < Self.leastShared ? bytes : bytes / 2 * 3
    while size <= most {
      if let pointer = free[size]?.popLast() {
        idleBytes -= size
        return UnsafeMutableRawBufferPointer(start: pointer, count: size)
      }
      size = Self.sizeClass(size + 1)
    }
    return nil
  }

  private func count(use bytes: Int) {
    usedBytes += bytes
    mostUsedBytes = max(mostUsedBytes, usedBytes)
  }

  private static func allocate(_ bytes: Int) -> UnsafeMutableRawPointer? {
    var pointer: UnsafeMutableRawPointer?
    guard vq_has_memory(Int64(bytes)), posix_memalign(&pointer, 64, bytes) == 0 else { return nil }
    return pointer
  }

  func give(_ buffer: UnsafeMutableRawBufferPointer) {
    pthread_mutex_lock(&lock)
    defer { pthread_mutex_unlock(&lock) }
    usedBytes -= buffer.count
    guard !isShort, idleBytes + buffer.count <= idleLimit else {
      Glibc.free(buffer.baseAddress)
      return
    }
    idleBytes += buffer.count
    free[buffer.count, default: []].append(buffer.baseAddress!)
  }

  /// Frees all idle buffers; whether there were any.
  func freeIdle() -> Bool {
    pthread_mutex_lock(&lock)
    defer { pthread_mutex_unlock(&lock) }
    defer { trim(to: 0) }
    return idleBytes > 0
  }

  /// Frees idle buffers, the largest first, until `bytes` are left.
  private func trim(to bytes: Int) {
    while idleBytes > bytes, let size = free.keys.max() {
      if let pointer = free[size]?.popLast() {
        Glibc.free(pointer)
        idleBytes -= size
      } else {
        free[size] = nil
      }
    }
  }
}

/// A contiguous 64-byte aligned buffer of one element type. `version` counts writes in place.
public final class Storage {
  public let dtype: DType
  public let count: Int
  public internal(set) var version = 0
  let base: UnsafeMutableRawPointer
  private let buffer: UnsafeMutableRawBufferPointer?
  private let owner: AnyObject?
  private var derived: (version: Int, value: AnyObject)?
  /// Called after elements that others derive state from were written (`TensorWrite`).
  var writeObservers: [(TensorWrite) throws -> Void] = []

  /// Uninitialized elements.
  init(_ dtype: DType, count: Int) throws {
    self.dtype = dtype
    self.count = count
    let (bytes, overflow) = count.multipliedReportingOverflow(by: dtype.byteCount)
    guard !overflow, bytes < 1 << 46 else { throw VQError.overflow("allocate", [count]) }
    let buffer = try BufferPool.shared.take(BufferPool.sizeClass(bytes))
    base = buffer.baseAddress!
    self.buffer = buffer
    owner = nil
  }

  /// Memory that `owner` keeps alive.
  init(_ dtype: DType, count: Int, base: UnsafeMutableRawPointer, owner: AnyObject) {
    self.dtype = dtype
    self.count = count
    self.base = base
    self.owner = owner
    buffer = nil
  }

  deinit {
    if let buffer { BufferPool.shared.give(buffer) }
  }

  var floats: UnsafeMutablePointer<Float> { base.assumingMemoryBound(to: Float.self) }
  var ints: UnsafeMutablePointer<Int32> { base.assumingMemoryBound(to: Int32.self) }
  var halves: UnsafeMutablePointer<UInt16> { base.assumingMemoryBound(to: UInt16.self) }

  /// What was computed from the elements as they are now, if it was kept.
  func derived<Value>(_ type: Value.Type) -> Value? {
    pthread_mutex_lock(&Self.derivedLock.mutex)
    defer { pthread_mutex_unlock(&Self.derivedLock.mutex) }
    guard let derived, derived.version == version else { return nil }
    return derived.value as? Value
  }

  /// Keeps what was computed from the elements as they are now, in place of what was kept before.
  func keep(derived value: AnyObject) {
    pthread_mutex_lock(&Self.derivedLock.mutex)
    let before = derived
    derived = (version, value)
    pthread_mutex_unlock(&Self.derivedLock.mutex)
    withExtendedLifetime(before) {}
  }

  private final class Lock: @unchecked Sendable {
    var mutex = pthread_mutex_t()
    init() { pthread_mutex_init(&mutex, nil) }
  }

  private static let derivedLock = Lock()
}
