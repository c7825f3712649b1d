import CVQSwift
import VQTensor

/// A generator and whether a thread draws from it.
final class GeneratorBox {
  let generator: Generator
  private let gate = Gate()

  init(_ generator: Generator) { self.generator = generator }

  func enter<Result>(_ operation: String, _ body: (Generator) throws -> Result) throws -> Result {
    try gate.enter(operation, "generator") { try body(generator) }
  }
}

/// The generator of a layer that is being made.
func generator(_ handle: OpaquePointer?) throws -> Generator {
  try object(handle, GeneratorBox.self).generator
}

/// Writes a handle of what `body` draws.
private func draw(
  _ handle: OpaquePointer?, _ operation: String, _ out: Out?,
  _ body: (Generator) throws -> Tensor
) -> vq_status {
  produce(out) { try object(handle, GeneratorBox.self).enter(operation, body) }
}

@_cdecl("vq_generator_create") @implementation
public func vq_generator_create(
  _ seed: UInt64, _ stream: UInt64, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) { GeneratorBox(Generator(seed: seed, stream: stream)) }
}

@_cdecl("vq_generator_release") @implementation
public func vq_generator_release(_ handle: OpaquePointer!) {
  release(handle, as: GeneratorBox.self)
}

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
  draw(handle, "uniform", out) { try $0.uniform(sizes(shape, rank), from: from, to: to) }
}

@_cdecl("vq_generator_normal") @implementation
public func vq_generator_normal(
  _ handle: OpaquePointer!, _ shape: UnsafePointer<Int64>!, _ rank: Int64, _ mean: Float,
  _ standardDeviation: Float, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  draw(handle, "normal", out) {
    try $0.normal(sizes(shape, rank), mean: mean, standardDeviation: standardDeviation)
  }
}

@_cdecl("vq_generator_integers") @implementation
public func vq_generator_integers(
  _ handle: OpaquePointer!, _ shape: UnsafePointer<Int64>!, _ rank: Int64, _ below: Int64,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  draw(handle, "integers", out) { try $0.integers(sizes(shape, rank), below: Int(below)) }
}

@_cdecl("vq_generator_permutation") @implementation
public func vq_generator_permutation(
  _ handle: OpaquePointer!, _ count: Int64, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  draw(handle, "permutation", out) { try $0.permutation(Int(count)) }
}
