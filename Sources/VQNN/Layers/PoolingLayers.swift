import VQTensor

/// The options of a pooling layer.
public struct Pool2dOptions {
  public var kernel = (0, 0)
  /// nil for the kernel's size.
  public var stride: (Int, Int)? = nil
  public var padding = (0, 0)

  public static let table = OptionTable(Pool2dOptions()) {
    Option.pair("kernel_size", \.kernel, isRequired: true)
    Option.optionalPair("stride", \.stride)
    Option.pair("padding", \.padding)
  }
}

/// A layer that can rectify what it pools.
protocol Pool {
  /// `forward` of x's positive part.
  func forwardRectified(_ x: Tensor) throws -> Tensor
}

/// The largest value of each window; the stride is the kernel unless given.
public final class MaxPool2d: Module, Pool {
  public let kernel: (Int, Int)
  public let stride: (Int, Int)?
  public let padding: (Int, Int)

  public init(kernel: (Int, Int), stride: (Int, Int)? = nil, padding: (Int, Int) = (0, 0)) {
    self.kernel = kernel
    self.stride = stride
    self.padding = padding
  }

  public static let kind = ModuleKind("max_pool2d", Pool2dOptions.table) { options, _ in
    MaxPool2d(kernel: options.kernel, stride: options.stride, padding: options.padding)
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    try x.maxPool2d(kernel: kernel, stride: stride, padding: padding)
  }

  func forwardRectified(_ x: Tensor) throws -> Tensor {
    try x.rectifiedMaxPool2d(kernel: kernel, stride: stride, padding: padding)
  }
}

/// The mean of each window, padding counted; the stride is the kernel unless given.
public final class AveragePool2d: Module, Pool {
  public let kernel: (Int, Int)
  public let stride: (Int, Int)?
  public let padding: (Int, Int)

  public init(kernel: (Int, Int), stride: (Int, Int)? = nil, padding: (Int, Int) = (0, 0)) {
    self.kernel = kernel
    self.stride = stride
    self.padding = padding
  }

  public static let kind = ModuleKind("average_pool2d", Pool2dOptions.table) { options, _ in
    AveragePool2d(kernel: options.kernel, stride: options.stride, padding: options.padding)
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    try x.averagePool2d(kernel: kernel, stride: stride, padding: padding)
  }

  func forwardRectified(_ x: Tensor) throws -> Tensor {
    try x.rectifiedAveragePool2d(kernel: kernel, stride: stride, padding: padding)
  }
}
