import CPlatform
import Glibc
import VQTensor

/// Content that takes the place of a file at once when it is complete, and is dropped otherwise.
///
/// Symbolic links are followed to the file that they stand for. The new file has the mode of the
/// old one and, where the system lets it, its owner. Until it is complete it has no name, so that a
/// process that is killed leaves nothing; where the file system has no such files, it has a name
/// that the next replacement of the same file removes.
final class FileReplacement {
  private static let action = "save"

  let file: File
  /// The file that is replaced, links followed.
  private let target: FilePath
  private let directory: Int32
  /// While it has one.
  private var temporaryName: FilePath?

  init(of path: FilePath) throws {
    try File.requirePath(Self.action, path)
    let old = try Self.status(path)
    target = try Self.following(path)
    if let old {
      try File.requireRegular(Self.action, path, old.st_mode)
      guard path.withCString({ faccessat(AT_FDCWD, $0, W_OK, AT_EACCESS) }) == 0 else {
        throw File.failure(Self.action, path)
      }
      // The links of /proc/self/fd tell names that a file had.
      guard try Self.status(target) != nil else { throw File.failure(Self.action, path, ENOENT) }
    }
    guard !target.name.bytes.isEmpty else { throw File.failure(Self.action, path, EISDIR) }
    guard target.name.bytes.count <= 255 else {
      throw File.failure(Self.action, path, ENAMETOOLONG)
    }
    let directory = target.directory.withCString(vq_open_directory)
    guard directory >= 0 else { throw File.failure(Self.action, path) }
    self.directory = directory
    let mode: mode_t = old == nil ? 0o666 : 0o600
    Self.removeStale(of: target, in: directory)
    let unnamed = vq_create_unnamed(directory, mode)
    do {
      if unnamed >= 0 {
        file = File(Self.action, path, unnamed)
        temporaryName = nil
      } else {
        (file, temporaryName) = try Self.createNamed(path, target, in: directory, mode)
      }
    } catch {
      close(directory)
      throw error
    }
    if let old { try keep(old) }
  }

  deinit {
    removeTemporary()
    close(directory)
  }

  /// Puts the content in the place of the target, for good.
  func commit() throws {
    try file.synchronize()
    if temporaryName == nil {
      guard vq_take_file(file.descriptor, 1) == 0 else { throw failure() }
      let name = Self.freshName(for: target)
      guard name.withCString({ vq_name_unnamed(file.descriptor, directory, $0) }) == 0 else {
        throw failure()
      }
      temporaryName = name
    }
    let result = temporaryName!.withCString { source in
      target.name.withCString { renameat(directory, source, directory, $0) }
    }
    guard result == 0 else { throw failure() }
    temporaryName = nil
    // Some file systems cannot sync a directory, and some directories cannot be read; the rename
    // stands all the same.
    let readable = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard readable >= 0 else { return }
    defer { close(readable) }
    guard fsync(readable) == 0 || errno == EINVAL else { throw failure() }
  }

  private func failure() -> VQError { File.failure(Self.action, file.path) }

  private func removeTemporary() {
    guard let name = temporaryName else { return }
    _ = name.withCString { unlinkat(directory, $0, 0) }
    temporaryName = nil
  }

  /// Gives the new file mode and owner of the old one.
  private func keep(_ old: stat) throws {
    var mode = old.st_mode & 0o7777
    let own = try file.status()
    if own.st_uid != old.st_uid || own.st_gid != old.st_gid,
      fchown(file.descriptor, old.st_uid, old.st_gid) != 0
    {
      mode &= 0o777
    }
    guard fchmod(file.descriptor, mode) == 0 else { throw failure() }
  }

  // MARK: The target

  /// Of the file that `path` leads to; nil where there is none.
  private static func status(_ path: FilePath) throws -> stat? {
    var status = stat()
    if path.withCString({ stat($0, &status) }) == 0 { return status }
    guard errno == ENOENT else { throw File.failure(action, path) }
    return nil
  }

  /// `path` with its last name's links followed, also to a file that is not there yet.
  private static func following(_ path: FilePath) throws -> FilePath {
    var followed = path
    for _ in 0..<40 {
      var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
      let count = buffer.withUnsafeMutableBytes { buffer in
        followed.withCString {
          readlink($0, buffer.assumingMemoryBound(to: CChar.self).baseAddress!, buffer.count)
        }
      }
      guard count >= 0 else { return followed }
      followed = followed.following(FilePath(bytes: buffer[..<count]))
    }
    throw File.failure(action, path, ELOOP)
  }

  // MARK: Temporary names

  /// What temporary names for `target` begin with: short for long names, and of no other file.
  private static func prefix(for target: FilePath) -> [UInt8] {
    // FNV-1a.
    let hash = target.name.bytes.reduce(0xCBF2_9CE4_8422_2325 as UInt64) {
      ($0 ^ UInt64($1)) &* 0x100_0000_01B3
    }
    let digits = String(hash, radix: 16)
    return Array(".vqswift-\(String(repeating: "0", count: 16 - digits.count))\(digits)-".utf8)
  }

  private static func freshName(for target: FilePath) -> FilePath {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    let rest = "\(getpid())-\(time.tv_sec)-\(time.tv_nsec)"
    return FilePath(bytes: prefix(for: target) + Array(rest.utf8))
  }

  /// A file with a temporary name that this process has taken.
  private static func createNamed(
    _ path: FilePath, _ target: FilePath, in directory: Int32, _ mode: mode_t
  ) throws -> (File, FilePath?) {
    while true {
      let name = freshName(for: target)
      let descriptor = name.withCString {
        openat(directory, $0, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
      }
      guard descriptor >= 0 else { throw File.failure(action, path) }
      let file = File(action, path, descriptor)
      // File systems without locks keep what another's replacement does not take either.
      if vq_take_file(descriptor, 1) != 0 { return (file, name) }
      // Another replacement may have removed it before it was taken.
      if try file.status().st_nlink > 0 { return (file, name) }
    }
  }

  /// Removes temporary files for `target` whose processes have ended.
  private static func removeStale(of target: FilePath, in directory: Int32) {
    let descriptor = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    guard let stream = fdopendir(descriptor) else {
      close(descriptor)
      return
    }
    defer { closedir(stream) }
    let prefix = prefix(for: target)
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes -> FilePath? in
        guard bytes.starts(with: prefix) else { return nil }
        return FilePath(bytes: bytes.prefix { $0 != 0 })
      }
      guard let name else { continue }
      let stale = name.withCString {
        openat(directory, $0, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
      }
      guard stale >= 0 else { continue }
      if vq_take_file(stale, 0) == 0 { _ = name.withCString { unlinkat(directory, $0, 0) } }
      close(stale)
    }
  }
}
