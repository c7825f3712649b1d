import Glibc
import VQTensor

/// An open file descriptor; every failure is an `.io` error that names the path.
final class File {
  let path: FilePath
  let descriptor: Int32
  private let action: String

  init(_ action: String, _ path: FilePath, _ descriptor: Int32) {
    self.action = action
    self.path = path
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }

  /// Opens a regular file to read; others are refused, without waiting for a writer.
  static func reading(_ path: FilePath) throws -> File {
    try requirePath("load", path)
    let descriptor = path.withCString { open($0, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) }
    guard descriptor >= 0 else { throw failure("load", path) }
    let file = File("load", path, descriptor)
    try requireRegular("load", path, try file.status().st_mode)
    return file
  }

  func status() throws -> stat {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw File.failure(action, path) }
    return status
  }

  /// Bytes in the file.
  func size() throws -> Int { Int(try status().st_size) }

  func read(_ target: UnsafeMutableRawPointer, bytes: Int, at offset: Int) throws {
    var done = 0
    while done < bytes {
      let count = pread(descriptor, target + done, bytes - done, off_t(offset + done))
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw File.failure(action, path) }
      guard count > 0 else {
        throw VQError.format("\(path)", "the file ends before its last tensor")
      }
      done += count
    }
  }

  func write(_ source: UnsafeRawPointer, bytes: Int) throws {
    var done = 0
    while done < bytes {
      let count = Glibc.write(descriptor, source + done, bytes - done)
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw File.failure(action, path) }
      done += count
    }
  }

  /// Waits until the content is on the disk.
  func synchronize() throws {
    guard fsync(descriptor) == 0 else { throw File.failure(action, path) }
  }

  static func requirePath(_ action: String, _ path: FilePath) throws {
    guard !path.bytes.isEmpty else { throw failure(action, path, ENOENT) }
    guard !path.bytes.contains(0) else {
      throw VQError.io(
        action, path: "\(path)", reason: "a path must hold no null", code: EINVAL)
    }
  }

  static func requireRegular(_ action: String, _ path: FilePath, _ mode: mode_t) throws {
    switch mode & S_IFMT {
    case S_IFREG: return
    case S_IFDIR: throw failure(action, path, EISDIR)
    default:
      throw VQError.io(action, path: "\(path)", reason: "not a regular file", code: EINVAL)
    }
  }

  static func failure(_ action: String, _ path: FilePath, _ code: Int32 = errno) -> VQError {
    .io(action, path: "\(path)", reason: String(cString: strerror(code)), code: code)
  }
}
