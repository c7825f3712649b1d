import VQTensor

extension InterpolationMode: OptionChoice {
  public var optionName: String { rawValue }
}

/// The options of an `Upsample`; one of the first two is given.
public struct UpsampleOptions {
  /// Of the result: one number, or one for each axis between samples and channels.
  public var size: [Int]?
  /// Elements of the result for one of the input, alike.
  public var scaleFactor: OptionNumbers?
  public var mode = InterpolationMode.nearest
  /// Whether the middles of the first and last elements stay where they are.
  public var alignCorners = false

  public static let table = OptionTable(UpsampleOptions()) {
    Option("scale_factor", \.scaleFactor)
    Option("mode", \.mode)
    Option("align_corners", \.alignCorners)
    Option("size", \.size)
  } agree: { options, operation in
    try checkInterpolation(
      operation, size: options.size, scaleFactor: options.scaleFactor?.values,
      mode: options.mode, alignCorners: options.alignCorners)
  }
}

/// The elements of [n, l, c], [n, h, w, c] or [n, d, h, w, c] at other places: `interpolated`.
public final class Upsample: Module {
  private let options: UpsampleOptions

  /// The parameters of `interpolated`.
  public convenience init(
    size: [Int]? = nil, scaleFactor: [Double]? = nil, mode: InterpolationMode = .nearest,
    alignCorners: Bool = false
  ) throws {
    try self.init(
      UpsampleOptions(
        size: size, scaleFactor: scaleFactor.map(OptionNumbers.init), mode: mode,
        alignCorners: alignCorners))
  }

  private init(_ options: UpsampleOptions) throws {
    try UpsampleOptions.table.check(options, "interpolate")
    self.options = options
  }

  public static let kind = ModuleKind("interpolate", UpsampleOptions.table) { options, _ in
    try Upsample(options)
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    try x.interpolated(
      size: options.size, scaleFactor: options.scaleFactor?.values, mode: options.mode,
      alignCorners: options.alignCorners)
  }
}
