import CPlatform
import VQKernels

/// How matrix products and convolutions multiply their operands; sums are float32.
public enum ProductPrecision: Int32, Sendable {
  case float32 = 0
  /// Rounded to bfloat16, by the CPU's instruction where the product is large enough for it.
  case bfloat16 = 1
  /// Rounded to bfloat16 and multiplied in float32, on any CPU: what `bfloat16` gives, but for the
  /// order of sums.
  case rounded = 2

  /// Of the calling thread's operators. Gradients are computed as their forward was.
  public static var current: ProductPrecision {
    get { ProductPrecision(rawValue: vq_precision()) ?? .float32 }
    set { vq_set_precision(newValue.rawValue) }
  }

  /// Whether this CPU has the instruction and oneDNN's products by it are right.
  public static let hasBFloat16: Bool = {
    #if VQ_ONEDNN
      InstructionSet.usable == .avx512bf16 && OneDNNElement.bfloat16.isRight
    #else
      false
    #endif
  }()

  /// Runs `body` with this precision on this thread.
  public func within<Result>(_ body: () throws -> Result) rethrows -> Result {
    let before = ProductPrecision.current
    ProductPrecision.current = self
    defer { ProductPrecision.current = before }
    return try body()
  }

  /// Multiply-adds from which on the instruction gains more than rounding costs.
  private static let leastWork = 0x1p18

  /// Whether oneDNN takes a product of so many multiply-adds in bfloat16.
  func isNative(_ work: Double) -> Bool { self == .bfloat16 && work >= Self.leastWork }

  /// The operand as a product in float32 takes it.
  func operand(_ x: Tensor, of operation: String) throws -> Tensor {
    if self == .float32 { return x }
    return try StoredTensor(shape: x.shape, storage: x.bfloat16Elements(operation)).widened()
  }
}
