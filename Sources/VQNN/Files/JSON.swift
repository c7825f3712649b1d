/// The JSON that a checkpoint's header may hold: objects, arrays, strings and integers from 0.
enum JSON: Equatable {
  case object([Member])
  case array([JSON])
  case string(String)
  case integer(Int)

  struct Member: Equatable {
    let name: String
    let value: JSON
  }
}

/// Where and why a text is not such JSON.
struct JSONError: Error {
  let offset: Int
  let rule: String
}

// MARK: - Reading

extension JSON {
  /// Reads one value that takes up all of `bytes` save white space around it.
  init(parsing bytes: [UInt8]) throws {
    var parser = Parser(bytes: bytes)
    self = try parser.value(depth: 0)
    parser.skipSpace()
    guard parser.next == nil else { throw parser.error("nothing may follow the value") }
  }

  private struct Parser {
    let bytes: [UInt8]
    var offset = 0

    var next: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    func error(_ rule: String) -> JSONError { JSONError(offset: offset, rule: rule) }

    mutating func skipSpace() {
      while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
        offset += 1
      }
    }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
      guard let byte = next, byte == UInt8(ascii: character) else { return false }
      offset += 1
      return true
    }

    mutating func expect(_ character: Unicode.Scalar) throws {
      guard take(character) else { throw error("'\(character)' is expected") }
    }

    mutating func value(depth: Int) throws -> JSON {
      guard depth < 8 else { throw error("values are nested too deeply") }
      skipSpace()
      switch next {
      case UInt8(ascii: "{"): return .object(try members(depth: depth))
      case UInt8(ascii: "["): return .array(try elements(depth: depth))
      case UInt8(ascii: "\""): return .string(try string())
      case .some(0x30...0x39): return .integer(try integer())
      default: throw error("an object, an array, a string or an integer from 0 is expected")
      }
    }

    mutating func members(depth: Int) throws -> [Member] {
      var result: [Member] = []
      var names: Set<ExactString> = []
      try expect("{")
      skipSpace()
      if take("}") { return result }
      while true {
        skipSpace()
        let name = try string()
        guard names.insert(ExactString(name)).inserted else {
          throw error("the name \(name) stands twice")
        }
        skipSpace()
        try expect(":")
        result.append(Member(name: name, value: try value(depth: depth + 1)))
        skipSpace()
        if take("}") { return result }
        try expect(",")
      }
    }

    mutating func elements(depth: Int) throws -> [JSON] {
      var result: [JSON] = []
      try expect("[")
      skipSpace()
      if take("]") { return result }
      while true {
        result.append(try value(depth: depth + 1))
        skipSpace()
        if take("]") { return result }
        try expect(",")
      }
    }

    mutating func integer() throws -> Int {
      let start = offset
      var result = 0
      while let byte = next, byte >= 0x30, byte <= 0x39 {
        let (tens, high) = result.multipliedReportingOverflow(by: 10)
        let (sum, low) = tens.addingReportingOverflow(Int(byte - 0x30))
        guard !high, !low else { throw error("the integer is too large") }
        result = sum
        offset += 1
      }
      guard offset == start + 1 || bytes[start] != 0x30 else {
        throw error("an integer has no leading zeros")
      }
      return result
    }

    mutating func string() throws -> String {
      try expect("\"")
      var text: [UInt8] = []
      while let byte = next {
        offset += 1
        switch byte {
        case UInt8(ascii: "\""):
          guard let result = String(validating: text, as: UTF8.self) else {
            throw error("a string must be UTF-8")
          }
          return result
        case UInt8(ascii: "\\"): text += Array(String(try escape()).utf8)
        case 0..<0x20: throw error("control characters in a string must be escaped")
        default: text.append(byte)
        }
      }
      throw error("the string does not end")
    }

    mutating func escape() throws -> Unicode.Scalar {
      guard let byte = next else { throw error("the string does not end") }
      offset += 1
      switch byte {
      case UInt8(ascii: "\""): return "\""
      case UInt8(ascii: "\\"): return "\\"
      case UInt8(ascii: "/"): return "/"
      case UInt8(ascii: "b"): return "\u{8}"
      case UInt8(ascii: "f"): return "\u{C}"
      case UInt8(ascii: "n"): return "\n"
      case UInt8(ascii: "r"): return "\r"
      case UInt8(ascii: "t"): return "\t"
      case UInt8(ascii: "u"):
        var code = try hexadecimal()
        if code & 0xFC00 == 0xD800, take("\\"), take("u") {
          let low = try hexadecimal()
          guard low & 0xFC00 == 0xDC00 else { throw error("a surrogate stands alone") }
          code = 0x10000 + (code & 0x3FF) << 10 + (low & 0x3FF)
        }
        guard let scalar = Unicode.Scalar(code) else { throw error("a surrogate stands alone") }
        return scalar
      default: throw error("the escape is unknown")
      }
    }

    mutating func hexadecimal() throws -> UInt32 {
      guard offset + 4 <= bytes.count else { throw error("four hexadecimal digits are expected") }
      var result: UInt32 = 0
      for byte in bytes[offset..<offset + 4] {
        guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
          throw error("four hexadecimal digits are expected")
        }
        result = result << 4 + UInt32(digit)
      }
      offset += 4
      return result
    }
  }
}

// MARK: - Writing

extension JSON: CustomStringConvertible {
  /// The JSON text, without white space.
  var description: String {
    switch self {
    case .object(let members):
      let list = members.map { "\(JSON.quoted($0.name)):\($0.value)" }
      return "{\(list.joined(separator: ","))}"
    case .array(let elements): return "[\(elements.map(\.description).joined(separator: ","))]"
    case .string(let text): return JSON.quoted(text)
    case .integer(let value): return "\(value)"
    }
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": result += "\\\(scalar)"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
