import Glibc

func sine(_ x: Double) -> Double { sin(x) }

/// A new directory that goes with this object.
final class Directory {
  let path: String

  init() {
    var template = Array("/tmp/vqswift.XXXXXX".utf8CString)
    path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
  }

  deinit {
    for name in names { unlink("\(path)/\(name)") }
    rmdir(path)
  }

  var names: [String] {
    guard let stream = opendir(path) else { return [] }
    defer { closedir(stream) }
    var result: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) {
        String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != "." && name != ".." { result.append(name) }
    }
    return result.sorted()
  }

  /// Writes a file and returns its path.
  func write(_ bytes: [UInt8], _ name: String = "file") -> String {
    let stream = fopen("\(path)/\(name)", "wb")!
    fwrite(bytes, 1, bytes.count, stream)
    fclose(stream)
    return "\(path)/\(name)"
  }

  func read(_ name: String) -> [UInt8] {
    let stream = fopen("\(path)/\(name)", "rb")!
    defer { fclose(stream) }
    var bytes: [UInt8] = []
    while case let byte = getc(stream), byte != EOF { bytes.append(UInt8(byte)) }
    return bytes
  }
}
