import VQKernels
import VQTensor

/// An element type of safetensors that becomes float32 or int32.
enum StoredType: String {
  case float64 = "F64"
  case float32 = "F32"
  case float16 = "F16"
  case bfloat16 = "BF16"
  case float8E4M3 = "F8_E4M3"
  case float8E5M2 = "F8_E5M2"
  case float8E8M0 = "F8_E8M0"
  case int64 = "I64"
  case int32 = "I32"
  case int16 = "I16"
  case int8 = "I8"
  case uint64 = "U64"
  case uint32 = "U32"
  case uint16 = "U16"
  case uint8 = "U8"
  case bool = "BOOL"

  /// What a tensor's elements are written as.
  init(_ dtype: DType) {
    switch dtype {
    case .float32: self = .float32
    case .float16: self = .float16
    case .bfloat16: self = .bfloat16
    case .int32, .bool: self = .int32
    }
  }

  var byteCount: Int {
    switch self {
    case .float64, .int64, .uint64: 8
    case .float32, .int32, .uint32: 4
    case .float16, .bfloat16, .int16, .uint16: 2
    case .float8E4M3, .float8E5M2, .float8E8M0, .int8, .uint8, .bool: 1
    }
  }
}

/// An element that has no counterpart in the type that it is read as.
struct UnreadableElement: Error {
  let rule: String
}

extension StoredType {
  /// The tensor of `count` elements that `read(target, bytes, offset)` brings; float64 is rounded
  /// to the nearest.
  ///
  /// - Throws: `UnreadableElement` for an integer beyond int32 or a float beyond float32, else what
  ///   `read` throws.
  func tensor(
    shape: [Int], _ read: (UnsafeMutableRawPointer, _ bytes: Int, _ offset: Int) throws -> Void
  ) throws -> Tensor {
    let operation = "load"
    func floats<Stored>(_ convert: (Stored) throws -> Float) throws -> Tensor {
      try Tensor(operation, shape: shape) {
        try converted($0, count: shape.reduce(1, *), read, convert)
      }
    }
    func integers<Stored: FixedWidthInteger>(_ type: Stored.Type) throws -> Tensor {
      try Tensor(operation, codeShape: shape) {
        try converted($0, count: shape.reduce(1, *), read) { (element: Stored) in
          let value = Stored(littleEndian: element)
          guard let code = Int32(exactly: value) else {
            throw UnreadableElement(rule: "it holds \(value), which int32 does not")
          }
          return code
        }
      }
    }
    func halves<Stored>(_ format: HalfFormat, _ bits: (Stored) -> UInt16) throws -> Tensor {
      try Tensor(operation, shape: shape) { target in
        try inParts(shape.reduce(1, *), read) { (part: UnsafeBufferPointer<Stored>, first: Int) in
          let halves = part.map(bits)
          widen(halves, from: format, target + first, count: part.count)
        }
      }
    }
    switch self {
    case .float32:
      return try Tensor(operation, shape: shape) { try read($0, shape.reduce(4, *), 0) }
    case .int32:
      return try Tensor(operation, codeShape: shape) { try read($0, shape.reduce(4, *), 0) }
    case .float64:
      return try floats { (bits: UInt64) in
        let value = Double(bitPattern: UInt64(littleEndian: bits))
        let rounded = Float(value)
        guard rounded.isFinite || !value.isFinite else {
          throw UnreadableElement(rule: "it holds \(value), which float32 does not")
        }
        return rounded
      }
    case .float16: return try halves(.float16) { UInt16(littleEndian: $0) }
    case .bfloat16: return try halves(.bfloat16) { UInt16(littleEndian: $0) }
    case .float8E5M2: return try halves(.float16) { (bits: UInt8) in UInt16(bits) << 8 }
    case .float8E4M3: return try floats { Float(e4m3Bits: $0) }
    case .float8E8M0: return try floats { Float(e8m0Bits: $0) }
    case .int64: return try integers(Int64.self)
    case .int16: return try integers(Int16.self)
    case .int8: return try integers(Int8.self)
    case .uint64: return try integers(UInt64.self)
    case .uint32: return try integers(UInt32.self)
    case .uint16: return try integers(UInt16.self)
    case .uint8: return try integers(UInt8.self)
    case .bool:
      return try Tensor(operation, codeShape: shape) {
        try converted($0, count: shape.reduce(1, *), read) { (byte: UInt8) in byte == 0 ? 0 : 1 }
      }
    }
  }

  /// Reads and converts `count` elements.
  private func converted<Stored, Element>(
    _ target: UnsafeMutablePointer<Element>, count: Int,
    _ read: (UnsafeMutableRawPointer, _ bytes: Int, _ offset: Int) throws -> Void,
    _ convert: (Stored) throws -> Element
  ) throws {
    try inParts(count, read) { (part: UnsafeBufferPointer<Stored>, first: Int) in
      for index in 0..<part.count { target[first + index] = try convert(part[index]) }
    }
  }

  /// Reads `count` elements, some at a time; `body` takes each part and its first position.
  private func inParts<Stored>(
    _ count: Int, _ read: (UnsafeMutableRawPointer, _ bytes: Int, _ offset: Int) throws -> Void,
    _ body: (UnsafeBufferPointer<Stored>, _ first: Int) throws -> Void
  ) throws {
    let size = MemoryLayout<Stored>.size
    let buffer = UnsafeMutablePointer<Stored>.allocate(capacity: min(count, 1 << 16))
    defer { buffer.deallocate() }
    for first in stride(from: 0, to: count, by: 1 << 16) {
      let part = min(count - first, 1 << 16)
      try read(buffer, part * size, first * size)
      try body(UnsafeBufferPointer(start: buffer, count: part), first)
    }
  }
}

extension Float {
  /// 4 bits of exponent, 3 of fraction; no infinity, NaN where all are set.
  init(e4m3Bits bits: UInt8) {
    let magnitude = UInt32(bits & 0x7F)
    let value: UInt32
    switch magnitude {
    case 0..<8: value = (Float(magnitude) * 0x1p-9).bitPattern
    case 0x7F: value = Float.nan.bitPattern
    default: value = magnitude << 20 + (127 - 7) << 23
    }
    self.init(bitPattern: UInt32(bits & 0x80) << 24 | value)
  }

  /// A power of two from its biased exponent; 255 is NaN.
  init(e8m0Bits bits: UInt8) {
    switch bits {
    case 0: self.init(bitPattern: 0x40_0000)
    case 255: self = .nan
    default: self.init(bitPattern: UInt32(bits) << 23)
    }
  }
}
