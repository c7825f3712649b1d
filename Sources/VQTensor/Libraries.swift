import COpenBLAS

#if VQ_ONEDNN
  import COneDNN
#endif

/// The libraries underneath and their versions, for reports.
public var libraryVersions: String {
  let blas = String(cString: openblas_get_config())
  #if VQ_ONEDNN
    let version = dnnl_version().pointee
    return "oneDNN \(version.major).\(version.minor).\(version.patch), \(blas)"
  #else
    return "\(blas), without oneDNN"
  #endif
}
