import CPlatform
import VQKernels

/// Whether the process can have `bytes` more memory, if need be that of idle buffers.
package func hasMemory(bytes: Int = 0) -> Bool { isGranted { vq_has_memory(Int64(bytes)) } }

private func isGranted(_ ask: () -> Bool) -> Bool {
  ask() || BufferPool.shared.freeIdle() && ask()
}

/// Throws unless the process can have `bytes` more memory: before work whose kernels take so much
/// and have no way to fail.
package func requireMemory(bytes: Int) throws {
  guard hasMemory(bytes: bytes) else { throw VQError.memory(bytes: bytes) }
}

/// Prepares OpenBLAS for products on the threads of a loop: one thread each, and a buffer. Throws
/// too unless the process can have `bytes` beside them.
package func prepareProducts(beside bytes: Int = 0) throws {
  guard isGranted(vq_take_product_buffers) else { throw VQError.memory(bytes: 128 << 20) }
  useOneProductThread()
  if bytes > 0 { try requireMemory(bytes: bytes) }
}
