import VQTensor

/// A tensor of any element type under its name in a file.
public typealias NamedStoredTensor = (name: String, tensor: StoredTensor)

/// Named tensors in a safetensors file: an 8-byte length, a JSON header, the elements.
public enum Checkpoint {
  private static let headerLimit = 100_000_000

  /// What a file holds.
  public struct Content {
    /// In the order of their elements in the file.
    public internal(set) var tensors: [NamedTensor] = []
    public internal(set) var metadata = Metadata()
    /// Tensors that float32 or int32 do not hold, and why.
    public internal(set) var unread: [(name: String, reason: String)] = []
  }

  /// Writes `tensors` and `metadata` in the place of the file at `path`, which is at all times
  /// complete: links are followed, a file's mode stays, and a process that is killed leaves no
  /// other file for good.
  ///
  /// - Throws: `.value` for a name that stands twice, is reserved or holds U+0000, `.io` when the
  ///   system refuses and for what is no regular file.
  public static func save(
    stored tensors: [NamedStoredTensor], metadata: Metadata = [:], to path: FilePath
  ) throws {
    // Halves last, so that all elements are aligned.
    let isHalf: (NamedStoredTensor) -> Bool = { $0.tensor.dtype.half != nil }
    let tensors = tensors.filter { !isHalf($0) } + tensors.filter(isHalf)
    let header = try encodeHeader(tensors, metadata)
    let replacement = try FileReplacement(of: path)
    let file = replacement.file
    try withUnsafeBytes(of: UInt64(header.count).littleEndian) {
      try file.write($0.baseAddress!, bytes: 8)
    }
    try header.withUnsafeBytes { try file.write($0.baseAddress!, bytes: $0.count) }
    for (_, tensor) in tensors where tensor.count > 0 {
      try file.write(tensor.bytes, bytes: tensor.byteCount)
    }
    try replacement.commit()
  }

  public static func save(
    _ tensors: [NamedTensor], metadata: Metadata = [:], to path: FilePath
  ) throws {
    try save(stored: tensors.map { ($0.name, $0.tensor) }, metadata: metadata, to: path)
  }

  public static func save(
    _ tensors: [NamedTensor], metadata: Metadata = [:], to path: String
  ) throws {
    try save(tensors, metadata: metadata, to: FilePath(path))
  }

  /// Reads tensors and metadata. F16, BF16 and F8 become float32 exactly, F64 rounded to the
  /// nearest; integers and BOOL become int32. A tensor of another type, or with an element beyond,
  /// is left out and listed while another can be read.
  ///
  /// - Throws: `.format` for a file that is not whole and well-formed, `.io` when the system
  ///   refuses and for what is no regular file.
  public static func load(_ path: FilePath) throws -> Content {
    let file = try File.reading(path)
    let size = try file.size()
    guard size >= 8 else {
      throw VQError.format("\(path)", "\(size) bytes are too few for a header")
    }
    var length: UInt64 = 0
    try withUnsafeMutableBytes(of: &length) { try file.read($0.baseAddress!, bytes: 8, at: 0) }
    length = UInt64(littleEndian: length)
    guard length <= headerLimit, Int(length) <= size - 8 else {
      throw VQError.format(
        "\(path)", "a header of \(length) bytes does not fit into a file of \(size) bytes")
    }
    let headerBytes = Int(length)
    // Its text, and the tree of it that names and numbers become.
    try requireMemory(bytes: 96 * headerBytes)
    let text = try [UInt8](unsafeUninitializedCapacity: headerBytes) { buffer, count in
      if headerBytes > 0 { try file.read(buffer.baseAddress!, bytes: headerBytes, at: 8) }
      count = headerBytes
    }
    let header = try SafetensorsHeader(text, dataBytes: size - 8 - headerBytes, "\(path)")
    var content = Content()
    content.metadata = header.metadata
    for entry in header.entries {
      guard let stored = StoredType(rawValue: entry.type) else {
        content.unread.append((entry.name, "dtype \(entry.type) is not read"))
        continue
      }
      let start = 8 + headerBytes + entry.begin
      do {
        let tensor = try stored.tensor(shape: entry.shape) { target, bytes, offset in
          try file.read(target, bytes: bytes, at: start + offset)
        }
        content.tensors.append((entry.name, tensor))
      } catch let error as UnreadableElement {
        content.unread.append((entry.name, error.rule))
      }
    }
    if let (name, reason) = content.unread.first, content.tensors.isEmpty {
      throw VQError.format("\(path)", "tensor \(name): \(reason)")
    }
    return content
  }

  public static func load(_ path: String) throws -> Content { try load(FilePath(path)) }

  /// The header's text, padded with spaces so that the elements start at a multiple of 8.
  private static func encodeHeader(
    _ tensors: [NamedStoredTensor], _ metadata: Metadata
  ) throws -> [UInt8] {
    var members: [JSON.Member] = []
    if !metadata.isEmpty {
      for (name, text) in metadata.pairs { try requireNoNull(name, text) }
      members.append(
        .init(
          name: SafetensorsHeader.metadataName,
          value: .object(metadata.pairs.map { .init(name: $0.name, value: .string($0.text)) })))
    }
    var offset = 0
    var names: Set<ExactString> = [ExactString(SafetensorsHeader.metadataName)]
    for (name, tensor) in tensors {
      try requireNoNull(name)
      guard names.insert(ExactString(name)).inserted else {
        throw VQError.value(
          "save", "name", name, "every name must be given once, and none may be __metadata__")
      }
      let end = offset + tensor.byteCount
      members.append(
        .init(
          name: name,
          value: .object([
            .init(name: "dtype", value: .string(StoredType(tensor.dtype).rawValue)),
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

  private static func requireNoNull(_ texts: String...) throws {
    for text in texts where text.utf8.contains(0) {
      throw VQError.value("save", "text", text, "names and metadata must not hold U+0000")
    }
  }
}
