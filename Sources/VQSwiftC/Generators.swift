import CVQSwift
import VQTensor

private func generator(_ handle: OpaquePointer?) throws -> Generator {
  try object(handle, Generator.self)
}

@_cdecl("vq_generator_create") @implementation
public func vq_generator_create(
  _ seed: UInt64, _ stream: UInt64, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) { Generator(seed: seed, stream: stream) }
}

@_cdecl("vq_generator_release") @implementation
public func vq_generator_release(_ handle: OpaquePointer!) { release(handle, as: Generator.self) }

@_cdecl("vq_generator_counter") @implementation
public func vq_generator_counter(_ handle: OpaquePointer!) -> UInt64 {
  (try? generator(handle))?.counter ?? 0
}

@_cdecl("vq_generator_set_counter") @implementation
public func vq_generator_set_counter(_ handle: OpaquePointer!, _ counter: UInt64) {
  (try? generator(handle))?.counter = counter
}

@_cdecl("vq_generator_uniform") @implementation
public func vq_generator_uniform(
  _ handle: OpaquePointer!, _ shape: UnsafePointer<Int64>!, _ rank: Int64, _ from: Float,
  _ to: Float, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) { try generator(handle).uniform(sizes(shape, rank), from: from, to: to) }
}

@_cdecl("vq_generator_normal") @implementation
public func vq_generator_normal(
  _ handle: OpaquePointer!, _ shape: UnsafePointer<Int64>!, _ rank: Int64, _ mean: Float,
  _ standardDeviation: Float, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) {
    try generator(handle).normal(
      sizes(shape, rank), mean: mean, standardDeviation: standardDeviation)
  }
}

@_cdecl("vq_generator_integers") @implementation
public func vq_generator_integers(
  _ handle: OpaquePointer!, _ shape: UnsafePointer<Int64>!, _ rank: Int64, _ below: Int64,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) { try generator(handle).integers(sizes(shape, rank), below: Int(below)) }
}

@_cdecl("vq_generator_permutation") @implementation
public func vq_generator_permutation(
  _ handle: OpaquePointer!, _ count: Int64, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) { try generator(handle).permutation(Int(count)) }
}
