/// Functions that are compiled once for each instruction set.
protocol VectorKernels {
  static var portable: Self { get }
  #if arch(x86_64)
    static var avx2: Self { get }
    static var avx512: Self { get }
    static var avx512vnni: Self { get }
    static var avx512bf16: Self { get }
  #endif
}

extension VectorKernels {
  #if arch(x86_64)
    static var avx512vnni: Self { avx512 }
    static var avx512bf16: Self { avx512 }
  #endif

  /// Those of `set`, which the CPU must run.
  init(_ set: InstructionSet) {
    #if arch(x86_64)
      switch set {
      case .avx512bf16: self = .avx512bf16
      case .avx512vnni: self = .avx512vnni
      case .avx512: self = .avx512
      case .avx2: self = .avx2
      case .portable: self = .portable
      }
    #else
      self = .portable
    #endif
  }
}
