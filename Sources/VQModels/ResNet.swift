import VQNN
import VQTensor

/// A residual block of 1x1, 3x3 and 1x1 convolutions: [n, h, w, in] to [n, h / stride, w / stride,
/// 4 * width], sides rounded up.
///
/// The stride stands in the 3x3 convolution. `downsample`, a strided 1x1 convolution with batch
/// norm, fits `x` to the sum where the shape changes.
public final class Bottleneck: Module {
  /// Output channels for each channel of the 3x3 convolution.
  public static let expansion = 4

  public let conv1: Conv2d
  public let bn1: BatchNorm
  public let conv2: Conv2d
  public let bn2: BatchNorm
  public let conv3: Conv2d
  public let bn3: BatchNorm
  public let downsample: Sequential?

  public init(inputs: Int, width: Int, stride: Int = 1, generator: Generator) throws {
    let (outputs, overflow) = width.multipliedReportingOverflow(by: Bottleneck.expansion)
    guard !overflow else { throw VQError.overflow("bottleneck", [Bottleneck.expansion, width]) }
    conv1 = try unbiasedConvolution(inputs, width, kernel: 1, generator: generator)
    bn1 = try BatchNorm(channels: width)
    conv2 = try unbiasedConvolution(width, width, kernel: 3, stride: stride, generator: generator)
    bn2 = try BatchNorm(channels: width)
    conv3 = try unbiasedConvolution(width, outputs, kernel: 1, generator: generator)
    bn3 = try BatchNorm(channels: outputs)
    downsample =
      stride == 1 && inputs == outputs
      ? nil
      : Sequential(
        try unbiasedConvolution(inputs, outputs, kernel: 1, stride: stride, generator: generator),
        try BatchNorm(channels: outputs))
  }

  public override var children: [(name: String, module: Module)] {
    [
      ("conv1", conv1), ("bn1", bn1), ("conv2", conv2), ("bn2", bn2), ("conv3", conv3),
      ("bn3", bn3),
    ] + (downsample.map { [("downsample", $0)] } ?? [])
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    var y = try bn1.forward(conv1(x), fusedReLU: true)  // [n, h, w, width]
    y = try bn2.forward(conv2(y), fusedReLU: true)  // [n, h', w', width]
    y = try bn3(conv3(y))  // [n, h', w', 4 * width]
    return try (y + (downsample?.forward(x) ?? x)).relu()
  }
}

/// The options of a `ResNet50`.
public struct ResNet50Options {
  public var channels = 3
  public var classes = 1000
  public var smallImages = false

  public static let table = OptionTable(ResNet50Options()) {
    Option("channels", \.channels, .size)
    Option("classes", \.classes, .size)
    Option("small_images", \.smallImages)
  }
}

/// ResNet-50 (He et al. 2016, table 1) in its version 1.5, whose bottlenecks halve in the 3x3
/// convolution: images [n, h, w, channels] to logits [n, classes].
///
/// The names are torchvision's and so are the initial weights: convolutions normal with variance
/// `2 / (out kh kw)` (He et al. 2015), norms 1 and 0, `fc` as `Linear`.
public final class ResNet50: Module {
  public let conv1: Conv2d
  public let bn1: BatchNorm
  /// "layer1" to "layer4": 3, 4, 6 and 3 bottlenecks.
  public let stages: [Sequential]
  public let fc: Linear
  public let smallImages: Bool

  /// - Parameters:
  ///   - channels: of the images.
  ///   - smallImages: begins with a 3x3 convolution instead of a 7x7 one of stride 2 and a
  ///     max-pool, as is usual for 32x32 images; the last map then has an eighth of the images'
  ///     sides, not a thirty-second.
  ///   - generator: draws the weights.
  public init(
    channels: Int = 3, classes: Int = 1000, smallImages: Bool = false, generator: Generator
  ) throws {
    try ResNet50Options.table.check(
      ResNet50Options(channels: channels, classes: classes, smallImages: smallImages), "resnet50")
    self.smallImages = smallImages
    var inputs = 64
    conv1 =
      smallImages
      ? try unbiasedConvolution(channels, inputs, kernel: 3, generator: generator)
      : try unbiasedConvolution(channels, inputs, kernel: 7, stride: 2, generator: generator)
    bn1 = try BatchNorm(channels: inputs)
    var stages: [Sequential] = []
    for (stage, count) in [3, 4, 6, 3].enumerated() {
      let width = 64 << stage
      var blocks: [Module] = []
      for block in 0..<count {
        let stride = stage > 0 && block == 0 ? 2 : 1
        blocks.append(
          try Bottleneck(inputs: inputs, width: width, stride: stride, generator: generator))
        inputs = Bottleneck.expansion * width
      }
      stages.append(Sequential(blocks))
    }
    self.stages = stages
    fc = try Linear(inputs: inputs, outputs: classes, generator: generator)
  }

  public static let kind = ModuleKind("resnet50", ResNet50Options.table) {
    try ResNet50(
      channels: $0.channels, classes: $0.classes, smallImages: $0.smallImages,
      generator: $1.generator())
  }

  public override var children: [(name: String, module: Module)] {
    [("conv1", conv1), ("bn1", bn1)]
      + stages.enumerated().map { ("layer\($0.offset + 1)", $0.element) } + [("fc", fc)]
  }

  /// - Throws: `.shape` for images that do not fit, also for a training batch that leaves the last
  ///   norm one value a channel.
  public override func forward(_ images: Tensor) throws -> Tensor {
    try check(images)
    var x = try bn1.forward(conv1(images), fusedReLU: true)
    if !smallImages { x = try x.maxPool2d(kernel: (3, 3), stride: (2, 2), padding: (1, 1)) }
    for stage in stages { x = try stage(x) }  // [n, h / 32, w / 32, 2048]
    return try fc(x.mean(axes: [1, 2]))
  }

  private func check(_ images: Tensor) throws {
    guard images.rank == 4, images.shape[1] >= 1, images.shape[2] >= 1 else {
      throw VQError.shape(
        "resnet50", [images.shape], "the input must be [n, h, w, c] with at least one pixel")
    }
    // Every stride of 2 rounds the sides up.
    let reduction = smallImages ? 8 : 32
    guard !isTraining || images.shape[0] != 1 || max(images.shape[1], images.shape[2]) > reduction
    else {
      throw VQError.shape(
        "resnet50", [images.shape],
        "training with one image needs a side above \(reduction): batch norm needs two values a channel"
      )
    }
  }
}

/// Without bias, padded by half the kernel, normal with variance `2 / (out kernel^2)`.
func unbiasedConvolution(
  _ inputs: Int, _ outputs: Int, kernel: Int, stride: Int = 1, generator: Generator
) throws -> Conv2d {
  try Conv2d(
    weight: Initializer.kaimingNormal(fan: .output).tensor(
      [outputs, inputs, kernel, kernel], generator: generator),
    stride: (stride, stride), padding: (kernel / 2, kernel / 2))
}
