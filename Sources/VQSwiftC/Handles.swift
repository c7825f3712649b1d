import CPlatform
import CVQSwift
import VQNN
import VQTensor

public typealias Handle = OpaquePointer
public typealias Handles = UnsafePointer<OpaquePointer?>
public typealias Out = UnsafeMutablePointer<OpaquePointer?>
public typealias Text = UnsafePointer<CChar>
public typealias Texts = UnsafePointer<UnsafePointer<CChar>?>
public typealias Sizes = UnsafePointer<Int64>
public typealias Doubles = UnsafePointer<Double>
public typealias DoublesOut = UnsafeMutablePointer<Double>
public typealias Options = UnsafePointer<vq_option>

/// Handles that the caller has not released.
let liveHandles: UnsafeMutablePointer<vq_atomic> = {
  let counter = UnsafeMutablePointer<vq_atomic>.allocate(capacity: 1)
  counter.initialize(to: vq_atomic(value: 0))
  return counter
}()

/// Gives the caller one reference.
func handle(_ object: some AnyObject) -> OpaquePointer {
  _ = vq_atomic_add(liveHandles, 1)
  return OpaquePointer(Unmanaged.passRetained(object).toOpaque())
}

func release<Object: AnyObject>(_ handle: OpaquePointer?, as type: Object.Type) {
  guard let handle, vq_enter_call() else { return }
  defer { vq_leave_call() }
  _ = vq_atomic_add(liveHandles, -1)
  Unmanaged<Object>.fromOpaque(UnsafeRawPointer(handle)).release()
}

func object<Object: AnyObject>(
  _ handle: OpaquePointer?, _ type: Object.Type, named name: String = "\(Object.self)"
) throws -> Object {
  guard let handle else {
    throw VQError.misuse("handle", "NULL where a \(name) is required")
  }
  return Unmanaged<Object>.fromOpaque(UnsafeRawPointer(handle)).takeUnretainedValue()
}

/// A tensor of any element type, as it is.
func stored(_ handle: OpaquePointer?) throws -> StoredTensor {
  try object(handle, StoredTensor.self, named: "Tensor")
}

/// A tensor as operators take it: halves are widened.
func tensor(_ handle: OpaquePointer?) throws -> Tensor { try stored(handle).widened() }

/// A tensor that is written, or whose own gradient is asked for: halves have none.
func owned(_ handle: OpaquePointer?, _ operation: String) throws -> Tensor {
  let stored = try stored(handle)
  guard let tensor = stored as? Tensor else {
    throw VQError.type(
      operation, [stored.dtype],
      "halves are stored, not written or trained: convert with astype(float32)")
  }
  return tensor
}

func optionalTensor(_ handle: OpaquePointer?) throws -> Tensor? {
  handle == nil ? nil : try tensor(handle)
}

func tensors(_ handles: UnsafePointer<OpaquePointer?>?, _ count: Int64) throws -> [Tensor] {
  try list(handles, count).map { try tensor($0) }
}

func owned(
  _ handles: UnsafePointer<OpaquePointer?>?, _ count: Int64, _ operation: String
) throws -> [Tensor] {
  try list(handles, count).map { try owned($0, operation) }
}

/// Writes a new handle of what `body` makes, NULL after a failure.
func produce(_ out: Out?, _ body: () throws -> some AnyObject) -> vq_status {
  out?.pointee = nil
  return catching {
    let out = try target(out)
    out.pointee = handle(try body())
  }
}

/// A list of the caller's: at most 2^24 handles, names or sizes, or 2^40 numbers.
func list<Item>(
  _ items: UnsafePointer<Item>?, _ count: Int64, atMost most: Int64 = 1 << 24
) throws -> UnsafeBufferPointer<Item> {
  guard count >= 0, count <= most else {
    throw VQError.misuse("handle", "a list has \(count) items: 0 to \(most) are taken")
  }
  guard items != nil || count == 0 else {
    throw VQError.misuse("handle", "a list of \(count) items is NULL")
  }
  return UnsafeBufferPointer(start: items, count: Int(count))
}

func numbers<Number>(
  _ items: UnsafePointer<Number>?, _ count: Int64
) throws -> UnsafeBufferPointer<Number> {
  try list(items, count, atMost: 1 << 40)
}

/// An out-parameter that must be given.
func target<Value>(_ pointer: UnsafeMutablePointer<Value>?) throws -> UnsafeMutablePointer<Value> {
  guard let pointer else { throw VQError.misuse("handle", "the out-parameter is NULL") }
  return pointer
}

/// `count` sizes as Swift integers.
func sizes(_ pointer: UnsafePointer<Int64>?, _ count: Int64) throws -> [Int] {
  try list(pointer, count).map { Int($0) }
}

func pair(_ pointer: UnsafePointer<Int64>?) throws -> (Int, Int) {
  let pair = try sizes(pointer, 2)
  return (pair[0], pair[1])
}

func string(_ pointer: UnsafePointer<CChar>?) throws -> String {
  guard let pointer else { throw VQError.misuse("handle", "a name is NULL") }
  return String(cString: pointer)
}

func named(
  _ names: UnsafePointer<UnsafePointer<CChar>?>?, _ handles: UnsafePointer<OpaquePointer?>?,
  _ count: Int64
) throws -> [(name: String, tensor: Tensor)] {
  try zip(list(names, count), list(handles, count)).map { (try string($0), try tensor($1)) }
}

/// C strings that live as long as their owner.
final class NameTable {
  private var table: [ExactString: UnsafeMutablePointer<CChar>] = [:]

  func pointer(_ name: String) -> UnsafePointer<CChar> {
    let key = ExactString(name)
    if let known = table[key] { return UnsafePointer(known) }
    let utf8 = Array(name.utf8CString)
    let copy = UnsafeMutablePointer<CChar>.allocate(capacity: utf8.count)
    copy.initialize(from: utf8, count: utf8.count)
    table[key] = copy
    return UnsafePointer(copy)
  }

  deinit {
    for pointer in table.values { pointer.deallocate() }
  }
}
