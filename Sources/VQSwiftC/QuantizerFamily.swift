import CVQSwift
import VQQuantizers
import VQTensor

@_cdecl("vq_gaussian_quant_forward") @implementation
public func vq_gaussian_quant_forward(
  _ handle: OpaquePointer!, _ z: OpaquePointer!, _ logvar: OpaquePointer!, _ mask: OpaquePointer!,
  _ out: UnsafeMutablePointer<vq_quantized>!
) -> vq_status {
  give(out) {
    let (z, logvar, mask) = (
      try tensor(z), try optionalTensor(logvar), try optionalTensor(mask)
    )
    return try enter(handle, "gaussian_quant", as: GaussianQuant.self) {
      try $0.quantize(z, logVariance: logvar, mask: mask)
    }
  }
}

@_cdecl("vq_gaussian_quant_encode") @implementation
public func vq_gaussian_quant_encode(
  _ handle: OpaquePointer!, _ z: OpaquePointer!, _ logvar: OpaquePointer!, _ mask: OpaquePointer!,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) {
    let (z, logvar, mask) = (
      try tensor(z), try optionalTensor(logvar), try optionalTensor(mask)
    )
    return try enter(handle, "gaussian_quant.encode", as: GaussianQuant.self) {
      try $0.encode(z, logVariance: logvar, mask: mask)
    }
  }
}

@_cdecl("vq_gaussian_reconstruction_loss") @implementation
public func vq_gaussian_reconstruction_loss(
  _ x: OpaquePointer!, _ reconstruction: OpaquePointer!,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> vq_status {
  produce(out) { try gaussianReconstructionLoss(tensor(x), tensor(reconstruction)) }
}
