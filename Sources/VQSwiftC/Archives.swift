import CVQSwift
import Glibc
import VQNN
import VQTensor

/// A loaded checkpoint.
private final class Archive {
  let tensors: [NamedTensor]
  let metadata: [(name: String, text: String)]
  let unread: [(name: String, text: String)]
  let names = NameTable()

  init(_ path: FilePath) throws {
    let content = try Checkpoint.load(path)
    tensors = content.tensors
    metadata = content.metadata.pairs
    unread = content.unread.map { ($0.name, $0.reason) }
  }

  func give(
    _ list: [(name: String, text: String)], _ index: Int64,
    _ name: UnsafeMutablePointer<UnsafePointer<CChar>?>?,
    _ text: UnsafeMutablePointer<UnsafePointer<CChar>?>?
  ) throws {
    guard index >= 0, index < list.count else {
      throw VQError.index("archive", value: Int(index), bound: list.count)
    }
    name?.pointee = names.pointer(list[Int(index)].name)
    text?.pointee = names.pointer(list[Int(index)].text)
  }
}

private func path(_ pointer: UnsafePointer<CChar>?) throws -> FilePath {
  guard let pointer else { throw VQError.misuse("handle", "a path is NULL") }
  return FilePath(
    bytes: UnsafeBufferPointer(start: pointer, count: strlen(pointer)).lazy.map(
      UInt8.init(bitPattern:)))
}

private func archive(_ handle: OpaquePointer?) throws -> Archive {
  try object(handle, Archive.self)
}

@_cdecl("vq_archive_save") @implementation
public func vq_archive_save(
  _ path: UnsafePointer<CChar>!, _ names: UnsafePointer<UnsafePointer<CChar>?>!,
  _ tensors: UnsafePointer<OpaquePointer?>!, _ count: Int64,
  _ keys: UnsafePointer<UnsafePointer<CChar>?>!, _ values: UnsafePointer<UnsafePointer<CChar>?>!,
  _ metadataCount: Int64
) -> vq_status {
  catching {
    var metadata = Metadata()
    for (key, value) in try zip(list(keys, metadataCount), list(values, metadataCount)) {
      let key = try string(key)
      guard metadata[key] == nil else {
        throw VQError.value("save", "key", key, "every key of the metadata must be given once")
      }
      metadata[key] = try string(value)
    }
    try Checkpoint.save(named(names, tensors, count), metadata: metadata, to: VQSwiftC.path(path))
  }
}

@_cdecl("vq_archive_load") @implementation
public func vq_archive_load(
  _ path: UnsafePointer<CChar>!, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) { try Archive(VQSwiftC.path(path)) }
}

@_cdecl("vq_archive_release") @implementation
public func vq_archive_release(_ handle: OpaquePointer!) { release(handle, as: Archive.self) }

@_cdecl("vq_archive_count") @implementation
public func vq_archive_count(_ handle: OpaquePointer!) -> Int64 {
  Int64((try? archive(handle))?.tensors.count ?? 0)
}

@_cdecl("vq_archive_tensor") @implementation
public func vq_archive_tensor(
  _ handle: OpaquePointer!, _ index: Int64, _ name: UnsafeMutablePointer<UnsafePointer<CChar>?>!,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) {
    let archive = try archive(handle)
    return try archive.names.give(archive.tensors, index, name, "archive")
  }
}

@_cdecl("vq_archive_metadata_count") @implementation
public func vq_archive_metadata_count(_ handle: OpaquePointer!) -> Int64 {
  Int64((try? archive(handle))?.metadata.count ?? 0)
}

@_cdecl("vq_archive_metadata") @implementation
public func vq_archive_metadata(
  _ handle: OpaquePointer!, _ index: Int64, _ key: UnsafeMutablePointer<UnsafePointer<CChar>?>!,
  _ value: UnsafeMutablePointer<UnsafePointer<CChar>?>!
) -> vq_status {
  catching {
    let archive = try archive(handle)
    try archive.give(archive.metadata, index, key, value)
  }
}

@_cdecl("vq_archive_unread_count") @implementation
public func vq_archive_unread_count(_ handle: OpaquePointer!) -> Int64 {
  Int64((try? archive(handle))?.unread.count ?? 0)
}

@_cdecl("vq_archive_unread") @implementation
public func vq_archive_unread(
  _ handle: OpaquePointer!, _ index: Int64, _ name: UnsafeMutablePointer<UnsafePointer<CChar>?>!,
  _ reason: UnsafeMutablePointer<UnsafePointer<CChar>?>!
) -> vq_status {
  catching {
    let archive = try archive(handle)
    try archive.give(archive.unread, index, name, reason)
  }
}
