import VQNN
import VQTensor

/// A residual block of two 3x3 convolutions: [n, h, w, in] to [n, h / stride, w / stride, out],
/// sides rounded up. `downsample` fits `x` to the sum where the shape changes.
public final class BasicBlock: Module {
  public let conv1: Conv2d
  public let bn1: BatchNorm
  public let conv2: Conv2d
  public let bn2: BatchNorm
  public let downsample: Sequential?

  public init(inputs: Int, outputs: Int, stride: Int = 1, generator: Generator) throws {
    conv1 = try unbiasedConvolution(
      inputs, outputs, kernel: 3, stride: stride, generator: generator)
    bn1 = try BatchNorm(channels: outputs)
    conv2 = try unbiasedConvolution(outputs, outputs, kernel: 3, generator: generator)
    bn2 = try BatchNorm(channels: outputs)
    downsample =
      stride == 1 && inputs == outputs
      ? nil
      : Sequential(
        try unbiasedConvolution(inputs, outputs, kernel: 1, stride: stride, generator: generator),
        try BatchNorm(channels: outputs))
  }

  public override var children: [(name: String, module: Module)] {
    [("conv1", conv1), ("bn1", bn1), ("conv2", conv2), ("bn2", bn2)]
      + (downsample.map { [("downsample", $0)] } ?? [])
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    let y = try bn2(conv2(bn1.forward(conv1(x), fusedReLU: true)))
    return try (y + (downsample?.forward(x) ?? x)).relu()
  }
}

/// Two blocks, the first with the stride.
private func stage(
  _ inputs: Int, _ outputs: Int, stride: Int, _ generator: Generator
) throws -> Sequential {
  Sequential(
    try BasicBlock(inputs: inputs, outputs: outputs, stride: stride, generator: generator),
    try BasicBlock(inputs: outputs, outputs: outputs, generator: generator))
}

private let width = OptionRule<Int>("must be in 1...4096") { (1...4096).contains($0) }

/// The options of the first half of a ResNet-18.
public struct ResNet18FrontOptions {
  public var channels = 3
  public var width = 64
  public var smallImages = false

  public static let table = OptionTable(ResNet18FrontOptions()) {
    Option("channels", \.channels, .size)
    Option("width", \.width, VQModels.width)
    Option("small_images", \.smallImages)
  }
}

/// The first half of a ResNet-18 (He et al. 2016, table 1): images [n, h, w, channels] to
/// [n, h / 8, w / 8, 2 width], for small images [n, h / 2, w / 2, 2 width].
///
/// Names and initial weights are torchvision's, as in `ResNet50`.
public final class ResNet18Front: Module {
  public let conv1: Conv2d
  public let bn1: BatchNorm
  public let layer1: Sequential
  public let layer2: Sequential
  public let smallImages: Bool

  public init(_ options: ResNet18FrontOptions, generator: Generator) throws {
    try ResNet18FrontOptions.table.check(options, "resnet18_front")
    let width = options.width
    smallImages = options.smallImages
    conv1 = try unbiasedConvolution(
      options.channels, width, kernel: smallImages ? 3 : 7, stride: smallImages ? 1 : 2,
      generator: generator)
    bn1 = try BatchNorm(channels: width)
    layer1 = try stage(width, width, stride: 1, generator)
    layer2 = try stage(width, 2 * width, stride: 2, generator)
  }

  public static let kind = ModuleKind("resnet18_front", ResNet18FrontOptions.table) {
    try ResNet18Front($0, generator: $1.generator())
  }

  public override var children: [(name: String, module: Module)] {
    [("conv1", conv1), ("bn1", bn1), ("layer1", layer1), ("layer2", layer2)]
  }

  public override func forward(_ images: Tensor) throws -> Tensor {
    guard images.rank == 4, images.shape[1] >= 1, images.shape[2] >= 1 else {
      throw VQError.shape(
        "resnet18", [images.shape], "the input must be [n, h, w, c] with at least one pixel")
    }
    var x = try bn1.forward(conv1(images), fusedReLU: true)
    if !smallImages { x = try x.maxPool2d(kernel: (3, 3), stride: (2, 2), padding: (1, 1)) }
    return try layer2(layer1(x))
  }
}

/// The options of the second half of a ResNet-18.
public struct ResNet18BackOptions {
  public var classes = 1000
  public var width = 64

  public static let table = OptionTable(ResNet18BackOptions()) {
    Option("classes", \.classes, .size)
    Option("width", \.width, VQModels.width)
  }
}

/// The second half of a ResNet-18: [n, h, w, 2 width] to logits [n, classes].
public final class ResNet18Back: Module {
  public let layer3: Sequential
  public let layer4: Sequential
  public let fc: Linear

  public init(_ options: ResNet18BackOptions, generator: Generator) throws {
    try ResNet18BackOptions.table.check(options, "resnet18_back")
    let width = options.width
    layer3 = try stage(2 * width, 4 * width, stride: 2, generator)
    layer4 = try stage(4 * width, 8 * width, stride: 2, generator)
    fc = try Linear(inputs: 8 * width, outputs: options.classes, generator: generator)
  }

  public static let kind = ModuleKind("resnet18_back", ResNet18BackOptions.table) {
    try ResNet18Back($0, generator: $1.generator())
  }

  public override var children: [(name: String, module: Module)] {
    [("layer3", layer3), ("layer4", layer4), ("fc", fc)]
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    try fc(layer4(layer3(x)).mean(axes: [1, 2]))
  }
}
