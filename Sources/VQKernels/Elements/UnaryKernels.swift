import CPlatform
import VQTiles

#if arch(x86_64)
  import VQTilesAVX2
  import VQTilesAVX512
#endif

/// A function of one number.
public struct UnaryKernel {
  let function: vq_function
  let p: Float
  let q: Float

  private init(_ function: vq_function, _ p: Float = 0, _ q: Float = 0) {
    (self.function, self.p, self.q) = (function, p, q)
  }

  public static let exp = Self(VQ_EXP)
  public static let log = Self(VQ_LOG)
  public static let log2 = Self(VQ_LOG2)
  public static let log10 = Self(VQ_LOG10)
  public static let log1p = Self(VQ_LOG1P)
  public static let expm1 = Self(VQ_EXPM1)
  public static let sqrt = Self(VQ_SQRT)
  public static let rsqrt = Self(VQ_RSQRT)
  public static let sin = Self(VQ_SIN)
  public static let cos = Self(VQ_COS)
  public static let tanh = Self(VQ_TANH)
  public static let erf = Self(VQ_ERF)
  public static let sigmoid = Self(VQ_SIGMOID)
  public static let logSigmoid = Self(VQ_LOG_SIGMOID)
  /// `log(1 + e^(beta x)) / beta`.
  public static func softplus(_ beta: Float) -> Self { Self(VQ_SOFTPLUS, beta) }
  public static let softsign = Self(VQ_SOFTSIGN)
  public static let relu = Self(VQ_RELU)
  public static func leakyReLU(_ slope: Float) -> Self { Self(VQ_LEAKY_RELU, slope) }
  public static func elu(_ alpha: Float) -> Self { Self(VQ_ELU, alpha) }
  public static func celu(_ alpha: Float) -> Self { Self(VQ_CELU, alpha) }
  public static let selu = Self(VQ_SELU)
  public static let gelu = Self(VQ_GELU)
  public static let geluTanh = Self(VQ_GELU_TANH)
  public static let silu = Self(VQ_SILU)
  public static let mish = Self(VQ_MISH)
  public static let hardswish = Self(VQ_HARDSWISH)
  public static let hardsigmoid = Self(VQ_HARDSIGMOID)
  public static let abs = Self(VQ_ABS)
  public static let sign = Self(VQ_SIGN)
  public static let square = Self(VQ_SQUARE)
  public static let floor = Self(VQ_FLOOR)
  public static let ceil = Self(VQ_CEIL)
  public static let round = Self(VQ_ROUND)

  public static func clamp(minimum: Float, maximum: Float) -> Self {
    Self(VQ_CLAMP, minimum, maximum)
  }

  public static func power(_ exponent: Float) -> Self {
    switch exponent {
    case 2: square
    case 3: Self(VQ_CUBE)
    case -1: Self(VQ_RECIPROCAL)
    default: Self(VQ_POWER, exponent)
    }
  }

  /// Whether the gradient is computed from the result rather than from the operand.
  public var savesResult: Bool {
    switch function {
    case VQ_EXP, VQ_EXPM1, VQ_SQRT, VQ_RSQRT, VQ_TANH, VQ_SIGMOID, VQ_RELU: true
    default: false
    }
  }

  /// Whether the gradient is computed from the slopes that `unaryWithSlopes` gives.
  public var savesSlopes: Bool {
    switch function {
    case VQ_GELU, VQ_GELU_TANH, VQ_SILU, VQ_MISH, VQ_ERF, VQ_SIN, VQ_COS: true
    default: false
    }
  }
}

/// The rows of functions in one instruction set; they are documented in `VQTiles`.
struct FunctionKernels {
  let row:
    (
      vq_function, Float, Float, UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int
    ) -> Void
  let slopeRow:
    (
      vq_function, UnsafePointer<Float>, UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>,
      Int
    ) -> Void
  let gradientRow:
    (
      vq_function, Float, Float, UnsafePointer<Float>, UnsafePointer<Float>,
      UnsafeMutablePointer<Float>, Int
    ) -> Void

  static let usable = FunctionKernels(.usable)
}

extension FunctionKernels: VectorKernels {
  static let portable = FunctionKernels(
    row: VQTiles.functionRow(_:_:_:_:_:count:),
    slopeRow: VQTiles.functionSlopeRow(_:_:_:_:count:),
    gradientRow: VQTiles.functionGradientRow(_:_:_:_:_:_:count:))

  #if arch(x86_64)
    static let avx2 = FunctionKernels(
      row: VQTilesAVX2.functionRow(_:_:_:_:_:count:),
      slopeRow: VQTilesAVX2.functionSlopeRow(_:_:_:_:count:),
      gradientRow: VQTilesAVX2.functionGradientRow(_:_:_:_:_:_:count:))

    static let avx512 = FunctionKernels(
      row: VQTilesAVX512.functionRow(_:_:_:_:_:count:),
      slopeRow: VQTilesAVX512.functionSlopeRow(_:_:_:_:count:),
      gradientRow: VQTilesAVX512.functionGradientRow(_:_:_:_:_:_:count:))
  #endif
}

/// `out[i] = f(x[i])`.
public func unary(
  _ kernel: UnaryKernel, _ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, count: Int
) {
  let row = FunctionKernels.usable.row
  parallelFor(count, grain: elementGrain) { range in
    row(
      kernel.function, kernel.p, kernel.q, x + range.lowerBound, out + range.lowerBound,
      range.count)
  }
}

/// `out[i] = f(x[i])` and `slopes[i] = f'(x[i])`.
public func unaryWithSlopes(
  _ kernel: UnaryKernel, _ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>,
  _ slopes: UnsafeMutablePointer<Float>, count: Int
) {
  let row = FunctionKernels.usable.slopeRow
  parallelFor(count, grain: elementGrain) { range in
    let start = range.lowerBound
    row(kernel.function, x + start, out + start, slopes + start, range.count)
  }
}

/// `out[i] = g[i] f'(x[i])`, where `saved` holds the result or the operand as `savesResult` says.
public func unaryGradient(
  _ kernel: UnaryKernel, _ saved: UnsafePointer<Float>, _ g: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>, count: Int
) {
  let row = FunctionKernels.usable.gradientRow
  parallelFor(count, grain: elementGrain) { range in
    let start = range.lowerBound
    row(kernel.function, kernel.p, kernel.q, saved + start, g + start, out + start, range.count)
  }
}
