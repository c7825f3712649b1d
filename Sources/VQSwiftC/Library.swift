import CPlatform
import CVQSwift
import VQTensor

@_cdecl("vq_abi_version") @implementation
public func vq_abi_version() -> UInt32 { UInt32(VQ_ABI_VERSION) }

@_cdecl("vq_last_error") @implementation
public func vq_last_error() -> Text! { vq_error_text() }

@_cdecl("vq_last_error_code") @implementation
public func vq_last_error_code() -> Int32 { vq_error_code() }

@_cdecl("vq_live_handles") @implementation
public func vq_live_handles() -> Int64 { vq_atomic_load(liveHandles) }

private let libraryNames = NameTable()

@_cdecl("vq_libraries") @implementation
public func vq_libraries() -> Text! { libraryNames.pointer(libraryVersions) }

@_cdecl("vq_set_threads") @implementation
public func vq_set_threads(_ count: Int64) -> vq_status {
  catching(isSwitch: true) {
    guard count >= 1, count <= 4096 else {
      throw VQError.value("set_threads", "count", "\(count)", "it must lie in 1...4096")
    }
    vq_set_thread_count(Int32(count))
  }
}

@_cdecl("vq_get_threads") @implementation
public func vq_get_threads() -> Int64 { Int64(vq_thread_count()) }

@_cdecl("vq_set_thread_limit") @implementation
public func vq_set_thread_limit(_ limit: Int64) -> vq_status {
  catching(isSwitch: true) {
    guard limit >= 0, limit <= 4096 else {
      throw VQError.value("limit_threads", "count", "\(limit)", "it must lie in 1...4096")
    }
    vq_set_loop_thread_limit(Int32(limit))
  }
}

@_cdecl("vq_thread_limit") @implementation
public func vq_thread_limit() -> Int64 { Int64(vq_loop_thread_limit()) }

@_cdecl("vq_set_flush_denormal") @implementation
public func vq_set_flush_denormal(_ flush: Bool) -> Bool {
  defer { vq_set_flushes_denormals(flush) }
  return vq_flushes_denormals()
}

@_cdecl("vq_set_exact_convolutions") @implementation
public func vq_set_exact_convolutions(_ exact: Bool) -> Bool {
  defer { exactConvolutions = exact }
  return exactConvolutions
}

@_cdecl("vq_shut_down") @implementation
public func vq_shut_down() { vq_end_calls() }

@_cdecl("vq_set_interrupt_check") @implementation
public func vq_set_interrupt_check(_ check: (@convention(c) () -> Bool)!) {
  vq_install_interrupt_check(check)
}

@_cdecl("vq_set_grad_enabled") @implementation
public func vq_set_grad_enabled(_ enabled: Bool) -> Bool {
  defer { vq_set_gradients_enabled(enabled) }
  return vq_gradients_enabled()
}

@_cdecl("vq_grad_enabled") @implementation
public func vq_grad_enabled() -> Bool { vq_gradients_enabled() }

@_cdecl("vq_set_products") @implementation
public func vq_set_products(_ products: Int32) -> vq_status {
  catching(isSwitch: true) {
    guard let precision = ProductPrecision(rawValue: products) else {
      throw VQError.value("set_products", "products", "\(products)", "it must be 0, 1 or 2")
    }
    guard precision != .bfloat16 || ProductPrecision.hasBFloat16 else {
      throw VQError.value(
        "set_products", "products", "bfloat16",
        "the CPU must have AVX-512 BF16, and oneDNN must be there")
    }
    ProductPrecision.current = precision
  }
}

@_cdecl("vq_products") @implementation
public func vq_products() -> Int32 { ProductPrecision.current.rawValue }

@_cdecl("vq_multiplies_bfloat16") @implementation
public func vq_multiplies_bfloat16() -> Bool { ProductPrecision.hasBFloat16 }
