import VQTensor

/// The largest value of each window; the stride is the kernel unless given.
public final class MaxPool2d: Module {
  public let kernel: (Int, Int)
  public let stride: (Int, Int)?
  public let padding: (Int, Int)

  public init(kernel: (Int, Int), stride: (Int, Int)? = nil, padding: (Int, Int) = (0, 0)) {
    self.kernel = kernel
    self.stride = stride
    self.padding = padding
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    try x.maxPool2d(kernel: kernel, stride: stride, padding: padding)
  }
}

/// The mean of each window, padding counted; the stride is the kernel unless given.
public final class AveragePool2d: Module {
  public let kernel: (Int, Int)
  public let stride: (Int, Int)?
  public let padding: (Int, Int)

  public init(kernel: (Int, Int), stride: (Int, Int)? = nil, padding: (Int, Int) = (0, 0)) {
    self.kernel = kernel
    self.stride = stride
    self.padding = padding
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    try x.averagePool2d(kernel: kernel, stride: stride, padding: padding)
  }
}

/// Repeats every pixel: [n, h, w, c] to [n, h * scale.0, w * scale.1, c].
public final class UpsampleNearest2d: Module {
  public let scale: (Int, Int)

  public init(scale: (Int, Int)) { self.scale = scale }

  public override func forward(_ x: Tensor) throws -> Tensor {
    try x.upsampleNearest2d(scale: scale)
  }
}
