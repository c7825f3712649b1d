import CVQSwift
import VQNN
import VQTensor

public typealias HostExchange =
  @convention(c) (UnsafeMutableRawPointer?, Bool, UnsafeMutablePointer<Double>?, Int64) -> Bool

@_cdecl("vq_module_exchange_moments") @implementation
public func vq_module_exchange_moments(
  _ handle: Handle!, _ exchange: HostExchange!, _ release: HostRelease!,
  _ context: UnsafeMutableRawPointer!, _ out: UnsafeMutablePointer<Int64>!
) -> vq_status {
  let name = "exchange_moments"
  let context = HostContext(context, release)
  return catching {
    guard let exchange, let out else { throw VQError.misuse(name, "an argument is NULL") }
    func replace(_ moments: Bool, _ values: inout [Double]) throws {
      let isDone = values.withUnsafeMutableBufferPointer { values in
        callingHost { exchange(context.pointer, moments, values.baseAddress, Int64(values.count)) }
      }
      guard isDone else { throw VQError.host("batch_norm") }
    }
    try box(handle).enter(name) { module in
      let norms = module.batchNorms
      out.pointee = Int64(norms.count)
      for norm in norms {
        norm.exchange = MomentExchange(
          moments: { try replace(true, &$0) }, sums: { try replace(false, &$0) })
      }
    }
  }
}
