import COpenBLAS

/// Lets OpenBLAS compute each product on the thread that asks for it. Setting what is set would
/// start its threads again in a forked child.
public func useOneProductThread() {
  if openblas_get_num_threads() != 1 { openblas_set_num_threads(1) }
}
