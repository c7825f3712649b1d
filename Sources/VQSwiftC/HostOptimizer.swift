import CVQSwift
import VQNN
import VQTensor

public typealias HostStep = @convention(c) (UnsafeMutableRawPointer?, OpaquePointer?) -> Bool

/// An optimizer whose steps are a function of the host's, which keeps the moments.
private final class HostOptimizer: Optimizer {
  private let hostStep: HostStep
  private let context: HostContext

  init(_ parameter: Tensor, _ step: @escaping HostStep, _ context: HostContext) throws {
    (hostStep, self.context) = (step, context)
    try super.init("optimizer", groups: [ParameterGroup([parameter], learningRate: 0)])
  }

  override func update(
    _ parameter: Tensor, gradient: Tensor, state: ParameterState, group: ParameterGroup,
    weightDecay: Double
  ) throws {
    guard callingHost({ hostStep(context.pointer, handle(gradient)) }) else {
      throw VQError.host(name)
    }
  }
}

@_cdecl("vq_optimizer_create_hosted") @implementation
public func vq_optimizer_create_hosted(
  _ parameter: Handle!, _ step: HostStep!, _ release: HostRelease!,
  _ context: UnsafeMutableRawPointer!, _ out: Out!
) -> vq_status {
  let context = HostContext(context, release)
  return produce(out) {
    guard let step else { throw VQError.misuse("optimizer", "the step is NULL") }
    let optimizer = try HostOptimizer(owned(parameter, "optimizer"), step, context)
    return OptimizerBox(optimizer, "optimizer")
  }
}
