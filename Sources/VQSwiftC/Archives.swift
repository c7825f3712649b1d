import CVQSwift
import VQNN
import VQTensor

/// A loaded checkpoint.
private final class Archive {
  let tensors: [NamedTensor]
  let metadata: [(key: String, value: String)]
  let names = NameTable()

  init(_ path: String) throws {
    let loaded = try Checkpoint.load(path)
    tensors = loaded.tensors
    metadata = loaded.metadata.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }
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
    var metadata: [String: String] = [:]
    for (key, value) in try zip(list(keys, metadataCount), list(values, metadataCount)) {
      metadata[try string(key)] = try string(value)
    }
    try Checkpoint.save(named(names, tensors, count), metadata: metadata, to: string(path))
  }
}

@_cdecl("vq_archive_load") @implementation
public func vq_archive_load(
  _ path: UnsafePointer<CChar>!, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) { try Archive(string(path)) }
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
    guard index >= 0, index < archive.metadata.count else {
      throw VQError.index("archive", value: Int(index), bound: archive.metadata.count)
    }
    key?.pointee = archive.names.pointer(archive.metadata[Int(index)].key)
    value?.pointee = archive.names.pointer(archive.metadata[Int(index)].value)
  }
}
