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
    case .float16: return try floats { Float(halfBits: UInt16(littleEndian: $0)) }
    case .bfloat16:
      return try floats { (bits: UInt16) in
        Float(bitPattern: UInt32(UInt16(littleEndian: bits)) << 16)
      }
    case .float8E5M2: return try floats { (bits: UInt8) in Float(halfBits: UInt16(bits) << 8) }
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

  /// Reads and converts `count` elements, some at a time.
  private func converted<Stored, Element>(
    _ target: UnsafeMutablePointer<Element>, count: Int,
    _ read: (UnsafeMutableRawPointer, _ bytes: Int, _ offset: Int) throws -> Void,
    _ convert: (Stored) throws -> Element
  ) throws {
    let size = MemoryLayout<Stored>.size
    let buffer = UnsafeMutablePointer<Stored>.allocate(capacity: min(count, 1 << 16))
    defer { buffer.deallocate() }
    for first in stride(from: 0, to: count, by: 1 << 16) {
      let part = min(count - first, 1 << 16)
      try read(buffer, part * size, first * size)
      for index in 0..<part { target[first + index] = try convert(buffer[index]) }
    }
  }
}

extension Float {
  /// IEEE binary16: 5 bits of exponent, 10 of fraction.
  init(halfBits bits: UInt16) {
    let magnitude = UInt32(bits & 0x7FFF)
    let value: UInt32
    switch magnitude {
    case 0..<0x400: value = (Float(magnitude) * 0x1p-24).bitPattern
    case 0x7C00...: value = 0x7F80_0000 | (magnitude & 0x3FF) << 13
    default: value = magnitude << 13 + (127 - 15) << 23
    }
    self.init(bitPattern: UInt32(bits & 0x8000) << 16 | value)
  }

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
