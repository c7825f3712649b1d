import Glibc
import VQTensor

/// An open file descriptor; every failure is an `.io` error that names the path.
final class File {
  let path: String
  private let descriptor: Int32
  private let action: String

  private init(_ action: String, _ path: String, _ descriptor: Int32) {
    self.action = action
    self.path = path
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }

  /// Opens a regular file to read.
  static func reading(_ path: String) throws -> File {
    try requireNoNull("load", path)
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure("load", path) }
    return File("load", path, descriptor)
  }

  /// Creates a file that did not exist.
  static func creating(_ path: String) throws -> File {
    try requireNoNull("save", path)
    let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw failure("save", path) }
    return File("save", path, descriptor)
  }

  /// Bytes in a regular file.
  func size() throws -> Int {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw File.failure(action, path) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw VQError.io(action, path: path, reason: "not a regular file")
    }
    return Int(status.st_size)
  }

  func read(_ target: UnsafeMutableRawPointer, bytes: Int, at offset: Int) throws {
    var done = 0
    while done < bytes {
      let count = pread(descriptor, target + done, bytes - done, off_t(offset + done))
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw File.failure(action, path) }
      guard count > 0 else { throw VQError.format(path, "the file ends before its last tensor") }
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

  static func remove(_ path: String) { unlink(path) }

  /// Puts `source` in the place of `target` at once and for good.
  static func replace(_ target: String, by source: String) throws {
    guard rename(source, target) == 0 else { throw failure("save", target) }
    let slash = target.lastIndex(of: "/")
    let directory = slash.map { $0 == target.startIndex ? "/" : String(target[..<$0]) } ?? "."
    let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure("save", directory) }
    defer { close(descriptor) }
    // Some file systems cannot sync a directory; the rename stands all the same.
    guard fsync(descriptor) == 0 || errno == EINVAL else { throw failure("save", directory) }
  }

  private static func requireNoNull(_ action: String, _ path: String) throws {
    guard !path.isEmpty, !path.utf8.contains(0) else {
      throw VQError.io(action, path: path, reason: "a path must have characters, none of them null")
    }
  }

  private static func failure(_ action: String, _ path: String) -> VQError {
    .io(action, path: path, reason: String(cString: strerror(errno)))
  }
}
