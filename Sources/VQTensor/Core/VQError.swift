/// Everything that a caller can get wrong. `description` makes the only prose.
public enum VQError: Error, Equatable {
  /// Shapes that do not fit the operation.
  case shape(_ operation: String, _ shapes: [[Int]], _ rule: String)
  /// A scalar argument out of its range.
  case value(_ operation: String, _ name: String, _ value: String, _ rule: String)
  /// An option by name: with `given`, of another type than it takes; without, unknown.
  case option(_ operation: String, _ name: String, _ given: String?, _ rule: String)
  /// An element type that the operation does not take.
  case type(_ operation: String, _ found: [DType], _ rule: String)
  /// NaN or infinity where a finite number is required; `index` is the first one's flat position.
  case nonFinite(_ operation: String, _ name: String, value: Float, index: Int)
  /// No elements where at least one is required.
  case empty(_ operation: String, _ shape: [Int], _ rule: String)
  /// A code, label or position outside `0..<bound`.
  case index(_ operation: String, value: Int, bound: Int)
  /// A size whose product exceeds the address space.
  case overflow(_ operation: String, _ sizes: [Int])
  /// An allocation that failed.
  case memory(bytes: Int)
  /// A library underneath whose allocation failed.
  case shortage(_ library: String, _ call: String)
  /// A system call on a file that failed, with its errno.
  case io(_ action: String, path: String, reason: String, code: Int32 = 0)
  /// A file whose content is not what it must be.
  case format(_ path: String, _ rule: String)
  /// A call that the object's state does not allow.
  case misuse(_ operation: String, _ rule: String)
  /// A call that the host has asked to stop; it has changed nothing.
  case interrupted(_ operation: String)
  /// A function that the host gave and that failed; the host knows why.
  case host(_ operation: String)
  /// A library underneath that failed.
  case library(_ name: String, _ call: String, status: Int)
}

extension VQError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .shape(let operation, let shapes, let rule):
      let list = shapes.map { "\($0)" }.joined(separator: " and ")
      return "[\(operation)] \(shapes.count == 1 ? "shape" : "shapes") \(list): \(rule)"
    case .value(let operation, let name, let value, let rule):
      return "[\(operation)] \(name) = \(value): \(rule)"
    case .option(let operation, let name, let given?, let rule):
      return "[\(operation)] \(name) is \(given): \(rule) is required"
    case .option(let operation, let name, nil, let rule):
      return "[\(operation)] unknown option '\(name)': \(rule)"
    case .type(let operation, let found, let rule):
      let list = found.map { "\($0)" }.joined(separator: " and ")
      return "[\(operation)] \(found.count == 1 ? "dtype" : "dtypes") \(list): \(rule)"
    case .nonFinite(let operation, let name, let value, let index):
      return
        "[\(operation)] \(name) holds \(value) at flat index \(index): every element must be finite"
    case .empty(let operation, let shape, let rule):
      return "[\(operation)] shape \(shape) has no elements: \(rule)"
    case .index(let operation, let value, let bound):
      return "[\(operation)] index \(value) is outside 0..<\(bound)"
    case .overflow(let operation, let sizes):
      return "[\(operation)] sizes \(sizes): their product does not fit in memory"
    case .memory(let bytes):
      return "[allocate] \(bytes) bytes: the system has not that much memory"
    case .shortage(let library, let call):
      return "[\(library)] \(call): the system has not the memory that it needs"
    case .io(let action, let path, let reason, _):
      return "[\(action)] \(path): \(reason)"
    case .format(let path, let rule):
      return "[load] \(path): \(rule)"
    case .misuse(let operation, let rule):
      return "[\(operation)] \(rule)"
    case .interrupted(let operation):
      return "[\(operation)] interrupted"
    case .host(let operation):
      return "[\(operation)] the host's function failed"
    case .library(let name, let call, let status):
      return "[\(name)] \(call) failed with status \(status)"
    }
  }
}
