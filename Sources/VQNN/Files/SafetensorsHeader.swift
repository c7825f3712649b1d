import VQTensor

/// A checked header: every tensor lies within the data, none overlaps and nothing is left over.
struct SafetensorsHeader {
  struct Entry {
    let name: String
    /// As written; `StoredType` has those that can be read.
    let type: String
    let shape: [Int]
    /// Byte positions after the header.
    let begin: Int
    let end: Int
  }

  static let metadataName = "__metadata__"

  /// In the order of their elements.
  let entries: [Entry]
  let metadata: Metadata

  init(_ text: [UInt8], dataBytes: Int, _ path: String) throws {
    let json: JSON
    do {
      json = try JSON(parsing: text)
    } catch let error as JSONError {
      throw VQError.format(path, "the header is not valid at byte \(error.offset): \(error.rule)")
    }
    guard case .object(let members) = json else {
      throw VQError.format(path, "the header must be an object")
    }
    var metadata = Metadata()
    var entries: [Entry] = []
    for member in members {
      if member.name == SafetensorsHeader.metadataName {
        guard case .object(let pairs) = member.value else {
          throw VQError.format(path, "__metadata__ must be an object")
        }
        for pair in pairs {
          guard case .string(let value) = pair.value else {
            throw VQError.format(path, "__metadata__ must hold strings, and \(pair.name) is none")
          }
          guard !pair.name.utf8.contains(0), !value.utf8.contains(0) else {
            throw VQError.format(path, "__metadata__ holds a text with U+0000, which is not read")
          }
          metadata[pair.name] = value
        }
      } else {
        entries.append(try SafetensorsHeader.entry(member, path))
      }
    }
    entries.sort { ($0.begin, $0.end) < ($1.begin, $1.end) }
    var offset = 0
    for entry in entries {
      guard entry.begin == offset else {
        throw VQError.format(
          path,
          "tensor \(entry.name) begins at byte \(entry.begin) and the one before ends at \(offset)")
      }
      offset = entry.end
    }
    guard offset == dataBytes else {
      throw VQError.format(
        path, "the header describes \(offset) bytes of elements and the file has \(dataBytes)")
    }
    self.entries = entries
    self.metadata = metadata
  }

  private static func entry(_ member: JSON.Member, _ path: String) throws -> Entry {
    func refuse(_ rule: String) -> VQError { .format(path, "tensor \(member.name): \(rule)") }
    guard !member.name.utf8.contains(0) else {
      throw VQError.format(path, "a tensor's name holds U+0000, which is not read")
    }
    guard case .object(let fields) = member.value,
      case .string(let type)? = fields.first(where: { $0.name == "dtype" })?.value,
      case .array(let axes)? = fields.first(where: { $0.name == "shape" })?.value,
      case .array(let offsets)? = fields.first(where: { $0.name == "data_offsets" })?.value,
      offsets.count == 2, case .integer(let begin) = offsets[0], case .integer(let end) = offsets[1]
    else { throw refuse("dtype, shape and two data_offsets are required") }
    guard begin <= end else { throw refuse("bytes \(begin)..<\(end) are no range") }
    var shape: [Int] = []
    var count = 1
    for axis in axes {
      guard case .integer(let size) = axis else { throw refuse("axes must be integers") }
      // An empty axis leaves the strides of the others.
      let (product, overflow) = count.multipliedReportingOverflow(by: max(size, 1))
      guard !overflow else { throw refuse("its size overflows") }
      count = product
      shape.append(size)
    }
    if let stored = StoredType(rawValue: type) {
      let (bytes, overflow) = count.multipliedReportingOverflow(by: stored.byteCount)
      guard !overflow else { throw refuse("its size overflows") }
      let expected = shape.contains(0) ? 0 : bytes
      guard end - begin == expected else {
        throw refuse("bytes \(begin)..<\(end) do not fit a shape of \(expected) bytes")
      }
    }
    return Entry(name: member.name, type: type, shape: shape, begin: begin, end: end)
  }
}
