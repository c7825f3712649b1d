import Glibc
import VQTensor

/// Named tensors in a safetensors file: an 8-byte length, a JSON header, the elements.
public enum Checkpoint {
  private static let headerLimit = 100_000_000

  /// Writes `tensors` and `metadata` to a temporary file beside `path`, syncs it and renames it to `path`, so that a file of
  /// that name is at all times complete.
  ///
  /// - Throws: `.value` for a name that stands twice or is reserved, `.io` when the system refuses.
  public static func save(
    _ tensors: [NamedTensor], metadata: [String: String] = [:], to path: String
  ) throws {
    let header = try encodeHeader(tensors, metadata)
    let (file, temporary) = try temporaryFile(beside: path)
    do {
      try withUnsafeBytes(of: UInt64(header.count).littleEndian) {
        try file.write($0.baseAddress!, bytes: 8)
      }
      try header.withUnsafeBytes { try file.write($0.baseAddress!, bytes: $0.count) }
      for (_, tensor) in tensors where tensor.count > 0 {
        try tensor.read { try file.write($0, bytes: tensor.count * tensor.dtype.byteCount) }
      }
      try file.synchronize()
      try File.replace(path, by: temporary)
    } catch {
      File.remove(temporary)
      throw error
    }
  }

  /// Reads the tensors in the order of their elements in the file, and the metadata.
  ///
  /// - Throws: `.format` for a file that is not whole and well-formed, `.io` when the system refuses.
  public static func load(
    _ path: String
  ) throws -> (tensors: [NamedTensor], metadata: [String: String]) {
    let file = try File.reading(path)
    let size = try file.size()
    guard size >= 8 else { throw VQError.format(path, "\(size) bytes are too few for a header") }
    var length: UInt64 = 0
    try withUnsafeMutableBytes(of: &length) { try file.read($0.baseAddress!, bytes: 8, at: 0) }
    length = UInt64(littleEndian: length)
    guard length <= headerLimit, Int(length) <= size - 8 else {
      throw VQError.format(
        path, "a header of \(length) bytes does not fit into a file of \(size) bytes")
    }
    let headerBytes = Int(length)
    let text = try [UInt8](unsafeUninitializedCapacity: headerBytes) { buffer, count in
      if headerBytes > 0 { try file.read(buffer.baseAddress!, bytes: headerBytes, at: 8) }
      count = headerBytes
    }
    let header = try SafetensorsHeader(text, dataBytes: size - 8 - headerBytes, path)
    let tensors = try header.entries.map { entry in
      let offset = 8 + headerBytes + entry.begin
      switch entry.dtype {
      case .float32:
        return (
          entry.name,
          try Tensor("load", shape: entry.shape) {
            try file.read($0, bytes: entry.end - entry.begin, at: offset)
          }
        )
      case .int32, .bool:
        return (
          entry.name,
          try Tensor("load", codeShape: entry.shape) {
            try file.read($0, bytes: entry.end - entry.begin, at: offset)
          }
        )
      }
    }
    return (tensors, header.metadata)
  }

  /// The header's text, padded with spaces so that the elements start at a multiple of 8.
  private static func encodeHeader(
    _ tensors: [NamedTensor], _ metadata: [String: String]
  ) throws -> [UInt8] {
    var members: [JSON.Member] = []
    if !metadata.isEmpty {
      let pairs = metadata.sorted { $0.key < $1.key }
      members.append(
        .init(
          name: SafetensorsHeader.metadataName,
          value: .object(pairs.map { .init(name: $0.key, value: .string($0.value)) })))
    }
    var offset = 0
    var names: Set<String> = [SafetensorsHeader.metadataName]
    for (name, tensor) in tensors {
      guard names.insert(name).inserted else {
        throw VQError.value(
          "save", "name", name, "every name must be given once, and none may be __metadata__")
      }
      let end = offset + tensor.count * tensor.dtype.byteCount
      members.append(
        .init(
          name: name,
          value: .object([
            .init(name: "dtype", value: .string(tensor.dtype == .float32 ? "F32" : "I32")),
            .init(name: "shape", value: .array(tensor.shape.map(JSON.integer))),
            .init(name: "data_offsets", value: .array([.integer(offset), .integer(end)])),
          ])))
      offset = end
    }
    var text = Array(JSON.object(members).description.utf8)
    while text.count % 8 != 0 { text.append(0x20) }
    guard text.count <= headerLimit else {
      throw VQError.overflow("save", [text.count])
    }
    return text
  }

  private static func temporaryFile(beside path: String) throws -> (File, String) {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    let temporary = "\(path).\(getpid()).\(time.tv_sec).\(time.tv_nsec).tmp"
    return (try File.creating(temporary), temporary)
  }
}
