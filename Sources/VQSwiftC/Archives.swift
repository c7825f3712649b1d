import CVQSwift
import Glibc
import VQNN
import VQTensor

private func path(_ pointer: Text?) throws -> FilePath {
  guard let pointer else { throw VQError.misuse("handle", "a path is NULL") }
  return FilePath(
    bytes: UnsafeBufferPointer(start: pointer, count: strlen(pointer)).lazy.map(
      UInt8.init(bitPattern:)))
}

@_cdecl("vq_archive_save") @implementation
public func vq_archive_save(
  _ path: Text!, _ names: Texts!, _ tensors: Handles!, _ count: Int64, _ keys: Texts!,
  _ values: Texts!, _ metadataCount: Int64
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
    let stored = try zip(list(names, count), list(tensors, count)).map {
      (name: try string($0), tensor: try VQSwiftC.stored($1))
    }
    try Checkpoint.save(stored: stored, metadata: metadata, to: VQSwiftC.path(path))
  }
}

@_cdecl("vq_archive_load") @implementation
public func vq_archive_load(
  _ path: Text!, _ tensors: Out!, _ metadata: Out!, _ unread: Out!
) -> vq_status {
  for out in [tensors, metadata, unread] { out?.pointee = nil }
  return catching {
    let (tensors, metadata, unread) = (
      try target(tensors), try target(metadata), try target(unread)
    )
    let content = try Checkpoint.load(VQSwiftC.path(path))
    tensors.pointee = handle(NamedList(content.tensors))
    metadata.pointee = handle(NamedList(content.metadata.pairs))
    unread.pointee = handle(NamedList(content.unread.map { ($0.name, text: $0.reason) }))
  }
}
