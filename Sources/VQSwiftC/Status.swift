import CPlatform
import CVQSwift
import VQTensor

/// Runs `body` and turns what it throws into a status and the thread's error text. A switch needs
/// no memory: where there is none left it can still be set back.
func catching(isSwitch: Bool = false, _ body: () throws -> Void) -> vq_status {
  guard vq_enter_call() else {
    vq_set_error(
      "[fork] another thread was computing when this process was forked, and its locks are lost: "
        + "fork between calls, or start processes by spawn", 0)
    return vq_status(VQ_ERROR_RUNTIME)
  }
  defer { vq_leave_call() }
  guard isSwitch || hasMemory() else {
    // Without memory for a text that would have to be made.
    vq_set_error("[allocate] the process has no memory left for a call", 0)
    return vq_status(VQ_ERROR_MEMORY)
  }
  do {
    try body()
    return vq_status(VQ_OK)
  } catch {
    vq_set_error("\(error)", (error as? VQError)?.systemCode ?? 0)
    return vq_status((error as? VQError)?.status ?? Int(VQ_ERROR_RUNTIME))
  }
}

extension VQError {
  /// The errno of a system call that failed.
  fileprivate var systemCode: Int32 {
    if case .io(_, _, _, let code) = self { return code }
    return 0
  }

  fileprivate var status: Int {
    switch self {
    case .shape, .value, .nonFinite, .empty, .format: Int(VQ_ERROR_VALUE)
    case .type, .option: Int(VQ_ERROR_TYPE)
    case .index: Int(VQ_ERROR_INDEX)
    case .overflow: Int(VQ_ERROR_OVERFLOW)
    case .memory, .shortage: Int(VQ_ERROR_MEMORY)
    case .io: Int(VQ_ERROR_IO)
    case .interrupted: Int(VQ_ERROR_INTERRUPTED)
    case .host: Int(VQ_ERROR_HOST)
    case .misuse, .library: Int(VQ_ERROR_RUNTIME)
    }
  }
}
