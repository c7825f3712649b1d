/// A path as the system has it: bytes other than 0, not always UTF-8.
public struct FilePath {
  let bytes: [UInt8]

  public init(_ text: String) { bytes = Array(text.utf8) }

  public init(bytes: some Sequence<UInt8>) { self.bytes = Array(bytes) }

  private static let slash = UInt8(ascii: "/")

  /// What the last name is looked up in.
  var directory: FilePath {
    guard let end = bytes.lastIndex(of: FilePath.slash) else { return FilePath(".") }
    return FilePath(bytes: bytes[...end])
  }

  /// The last name; empty behind a final slash.
  var name: FilePath {
    FilePath(bytes: bytes[(bytes.lastIndex(of: FilePath.slash).map { $0 + 1 } ?? 0)...])
  }

  /// What a symbolic link here that holds `target` points to.
  func following(_ target: FilePath) -> FilePath {
    target.bytes.first == FilePath.slash
      ? target : FilePath(bytes: directory.bytes + [FilePath.slash] + target.bytes)
  }

  func withCString<Result>(_ body: (UnsafePointer<CChar>) throws -> Result) rethrows -> Result {
    try (bytes + [0]).withUnsafeBytes {
      try body($0.assumingMemoryBound(to: CChar.self).baseAddress!)
    }
  }
}

extension FilePath: CustomStringConvertible {
  /// For messages; bytes that are no UTF-8 are replaced.
  public var description: String { String(decoding: bytes, as: UTF8.self) }
}
