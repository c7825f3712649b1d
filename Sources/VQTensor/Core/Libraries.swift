import COpenBLAS
import VQKernels

#if VQ_ONEDNN
  import COneDNN
#endif

/// The libraries underneath, their versions and the kernels' instruction set, for reports.
public var libraryVersions: String {
  let blas = String(cString: openblas_get_config())
  let kernels = "kernels \(InstructionSet.usable.name)"
  #if VQ_ONEDNN
    let version = dnnl_version().pointee
    return "oneDNN \(version.major).\(version.minor).\(version.patch), \(blas), \(kernels)"
  #else
    return "\(blas), without oneDNN, \(kernels)"
  #endif
}
