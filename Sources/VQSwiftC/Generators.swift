import CVQSwift
import VQTensor

typealias GeneratorBox = Box<Generator>

/// The generator of a layer that is being made.
func generator(_ handle: Handle?) throws -> Generator {
  try object(handle, GeneratorBox.self).content
}

/// Writes a handle of what `body` draws.
private func draw(
  _ handle: Handle?, _ operation: String, _ out: Out?,
  _ body: (Generator) throws -> Tensor
) -> vq_status {
  produce(out) { try object(handle, GeneratorBox.self).enter(operation, body) }
}

@_cdecl("vq_generator_create") @implementation
public func vq_generator_create(_ seed: UInt64, _ stream: UInt64, _ out: Out!) -> vq_status {
  produce(out) { GeneratorBox(Generator(seed: seed, stream: stream), "generator") }
}

@_cdecl("vq_generator_release") @implementation
public func vq_generator_release(_ handle: Handle!) {
  release(handle, as: GeneratorBox.self)
}

@_cdecl("vq_generator_counter") @implementation
public func vq_generator_counter(_ handle: Handle!) -> UInt64 {
  (try? generator(handle))?.counter ?? 0
}

@_cdecl("vq_generator_set_counter") @implementation
public func vq_generator_set_counter(_ handle: Handle!, _ counter: UInt64) {
  (try? generator(handle))?.counter = counter
}

@_cdecl("vq_generator_uniform") @implementation
public func vq_generator_uniform(
  _ handle: Handle!, _ shape: Sizes!, _ rank: Int64, _ from: Float, _ to: Float, _ out: Out!
) -> vq_status {
  draw(handle, "uniform", out) { try $0.uniform(sizes(shape, rank), from: from, to: to) }
}

@_cdecl("vq_generator_normal") @implementation
public func vq_generator_normal(
  _ handle: Handle!, _ shape: Sizes!, _ rank: Int64, _ mean: Float, _ standardDeviation: Float,
  _ out: Out!
) -> vq_status {
  draw(handle, "normal", out) {
    try $0.normal(sizes(shape, rank), mean: mean, standardDeviation: standardDeviation)
  }
}

@_cdecl("vq_generator_truncated_normal") @implementation
public func vq_generator_truncated_normal(
  _ handle: Handle!, _ shape: Sizes!, _ rank: Int64, _ mean: Float, _ standardDeviation: Float,
  _ minimum: Float, _ maximum: Float, _ out: Out!
) -> vq_status {
  draw(handle, "truncated_normal", out) {
    try $0.truncatedNormal(
      sizes(shape, rank), mean: mean, standardDeviation: standardDeviation, minimum: minimum,
      maximum: maximum)
  }
}

@_cdecl("vq_generator_integers") @implementation
public func vq_generator_integers(
  _ handle: Handle!, _ shape: Sizes!, _ rank: Int64, _ below: Int64, _ out: Out!
) -> vq_status {
  draw(handle, "integers", out) { try $0.integers(sizes(shape, rank), below: Int(below)) }
}

@_cdecl("vq_generator_permutation") @implementation
public func vq_generator_permutation(_ handle: Handle!, _ count: Int64, _ out: Out!) -> vq_status {
  draw(handle, "permutation", out) { try $0.permutation(Int(count)) }
}
