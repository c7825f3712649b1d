import CPlatform
import CVQSwift
import VQTensor

/// Runs `body` and turns what it throws into a status and the thread's error text.
func catching(_ body: () throws -> Void) -> vq_status {
  do {
    try body()
    return vq_status(VQ_OK)
  } catch {
    vq_set_error_text("\(error)")
    return vq_status((error as? VQError)?.status ?? Int(VQ_ERROR_RUNTIME))
  }
}

extension VQError {
  fileprivate var status: Int {
    switch self {
    case .shape, .value, .nonFinite, .empty, .format: Int(VQ_ERROR_VALUE)
    case .type: Int(VQ_ERROR_TYPE)
    case .index: Int(VQ_ERROR_INDEX)
    case .overflow: Int(VQ_ERROR_OVERFLOW)
    case .memory: Int(VQ_ERROR_MEMORY)
    case .io: Int(VQ_ERROR_IO)
    case .interrupted: Int(VQ_ERROR_INTERRUPTED)
    case .misuse, .library: Int(VQ_ERROR_RUNTIME)
    }
  }
}
