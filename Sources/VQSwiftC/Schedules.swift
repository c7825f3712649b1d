import CVQSwift
import VQNN
import VQTensor

@_cdecl("vq_schedule_factor") @implementation
public func vq_schedule_factor(
  _ options: UnsafePointer<vq_schedule_options>!, _ step: Int64,
  _ out: UnsafeMutablePointer<Double>!
) -> vq_status {
  catching {
    let options = try value(options)
    try requireSize(options.struct_size, MemoryLayout<vq_schedule_options>.size, "schedule")
    let decay: Schedule.Decay
    switch Int(options.kind) {
    case Int(VQ_SCHEDULE_CONSTANT): decay = .constant
    case Int(VQ_SCHEDULE_STEP): decay = .step(every: Int(options.step_size), gamma: options.gamma)
    case Int(VQ_SCHEDULE_COSINE):
      decay = .cosine(total: Int(options.total_steps), minimumFactor: options.minimum)
    default:
      throw VQError.value("schedule", "kind", "\(options.kind)", "it must be a VQ_SCHEDULE_*")
    }
    try target(out).pointee = try Schedule(decay, warmUp: Int(options.warmup_steps)).factor(
      at: Int(step))
  }
}
