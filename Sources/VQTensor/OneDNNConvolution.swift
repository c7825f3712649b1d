#if VQ_ONEDNN
  import COneDNN
  import CPlatform
  import VQKernels

  /// An array that the caller keeps in one layout and a primitive in another.
  private struct Port {
    let outer, inner: dnnl_memory_desc_t
    private let copy: OneDNNPrimitive?

    init(outer: dnnl_memory_desc_t, inner: dnnl_memory_desc_t, isResult: Bool, threads: Int) throws
    {
      (self.outer, self.inner) = (outer, inner)
      if OneDNN.isSame(outer, inner) {
        copy = nil
      } else {
        copy = try OneDNNPrimitive.reorder(
          from: isResult ? inner : outer, to: isResult ? outer : inner, threads: threads)
      }
    }

    /// An operand as the primitive wants it.
    func packed(_ storage: Storage) throws -> Storage {
      guard let copy else { return storage }
      let packed = try OneDNN.buffer(inner)
      try copy.execute([
        (DNNL_ARG_FROM, outer, storage.base), (DNNL_ARG_TO, inner, packed.base),
      ])
      return packed
    }

    /// The same, copied at most once for all passes that read the images.
    func packed(_ images: ConvolutionImages) throws -> Storage {
      if let copy = images.copy, OneDNN.isSame(copy.layout, inner) { return copy.storage }
      let storage = try packed(images.tensor.storage)
      if copy != nil { images.copy = (inner, storage) }
      return storage
    }

    /// A result as the caller wants it, which `fill` writes as the primitive does.
    func unpacked(_ fill: (Storage) throws -> Void) throws -> Storage {
      let result = try OneDNN.buffer(outer)
      guard let copy else {
        try fill(result)
        return result
      }
      let packed = try OneDNN.buffer(inner)
      try fill(packed)
      try copy.execute([
        (DNNL_ARG_FROM, inner, packed.base), (DNNL_ARG_TO, outer, result.base),
      ])
      return result
    }
  }

  /// A convolution pass compiled for one geometry. The caller's images are channels last and its
  /// weights in torch's layout.
  private final class ConvolutionPlan {
    enum Pass: Hashable { case forward, backwardData, backwardWeights }

    struct Key: Hashable {
      let pass: Pass
      let geometry: ConvolutionGeometry
      let hasBias: Bool
      let threads: Int
      var winograd: Bool
      /// Rows of padding below.
      var bottom: Int
    }

    /// The pass over a band, run by one thread.
    static func of(_ pass: Pass, _ band: ConvolutionBand, hasBias: Bool) throws -> ConvolutionPlan {
      let key = Key(
        pass: pass, geometry: band.geometry, hasBias: hasBias, threads: 1, winograd: false,
        bottom: band.bottom)
      return try cache.value(key) { try ConvolutionPlan(key) }
    }

    private static let cache = OneDNNCache<Key, ConvolutionPlan>()

    static func of(_ pass: Pass, _ g: ConvolutionGeometry, hasBias: Bool) throws -> ConvolutionPlan
    {
      var key = Key(
        pass: pass, geometry: g, hasBias: hasBias, threads: 1,
        winograd: g.suitsWinograd, bottom: g.window.paddingHeight)
      return try cache.value(key) {
        // The transformed images of a large batch can take several times their own memory.
        if key.winograd, let plan = try? ConvolutionPlan(key),
          plan.primitive.scratchBytes <= 1 << 28
        {
          return plan
        }
        key.winograd = false
        return try ConvolutionPlan(key)
      }
    }

    let primitive: OneDNNPrimitive
    let input, output, weights: Port
    let bias: dnnl_memory_desc_t

    private init(_ key: Key) throws {
      let (g, w) = (key.geometry, key.geometry.window)
      let inputDims = [g.images, w.channels, w.height, w.width]
      let outputDims = [g.images, g.outChannels, w.outHeight, w.outWidth]
      // Winograd's transform knows only blocks of 16 channels.
      let layout = key.winograd ? dnnl_nChw16c : dnnl_nhwc
      var input = try OneDNN.array(inputDims, layout)
      var output = try OneDNN.array(outputDims, layout)
      var weights = try OneDNN.array(g.weightShape, dnnl_format_tag_any)
      var bias = try OneDNN.array([g.outChannels], dnnl_x)
      let algorithm = key.winograd ? dnnl_convolution_winograd : dnnl_convolution_direct
      let strides = [Int64(w.strideHeight), Int64(w.strideWidth)]
      let padding = [Int64(w.paddingHeight), Int64(w.paddingWidth)]
      let paddingBehind = [Int64(key.bottom), Int64(w.paddingWidth)]

      var chosen = weights
      primitive = try OneDNNPrimitive(threads: key.threads) { attributes, engine in
        func create(_ operation: dnnl_convolution_desc_t, hint: dnnl_primitive_desc_t? = nil) throws
          -> dnnl_primitive_desc_t?
        {
          var (operation, description): (_, dnnl_primitive_desc_t?) = (operation, nil)
          try OneDNN.check(
            dnnl_primitive_desc_create(&description, &operation, attributes, engine, hint),
            "dnnl_primitive_desc_create")
          return description
        }
        func forward(_ algorithm: dnnl_alg_kind_t) throws -> dnnl_primitive_desc_t? {
          var operation = dnnl_convolution_desc_t()
          try withOptionalPointer(key.hasBias, &bias) { bias in
            try OneDNN.check(
              dnnl_convolution_forward_desc_init(
                &operation, dnnl_forward_training, algorithm, &input, &weights,
                bias, &output, strides, padding, paddingBehind),
              "dnnl_convolution_forward_desc_init")
          }
          return try create(operation)
        }
        if key.pass == .forward {
          let description = try forward(algorithm)
          chosen = try OneDNNPrimitive.layout(description, dnnl_query_weights_md)
          return description
        }
        let hint = try forward(dnnl_convolution_direct)
        defer { dnnl_primitive_desc_destroy(hint) }
        var operation = dnnl_convolution_desc_t()
        if key.pass == .backwardData {
          try OneDNN.check(
            dnnl_convolution_backward_data_desc_init(
              &operation, algorithm, &input, &weights, &output, strides, padding, paddingBehind),
            "dnnl_convolution_backward_data_desc_init")
        } else {
          try withOptionalPointer(key.hasBias, &bias) { bias in
            try OneDNN.check(
              dnnl_convolution_backward_weights_desc_init(
                &operation, algorithm, &input, &weights, bias, &output, strides, padding,
                paddingBehind),
              "dnnl_convolution_backward_weights_desc_init")
          }
        }
        let description = try create(operation, hint: hint)
        chosen = try OneDNNPrimitive.layout(
          description,
          key.pass == .backwardData ? dnnl_query_weights_md : dnnl_query_diff_weights_md)
        return description
      }
      self.input = try Port(
        outer: OneDNN.array(inputDims, dnnl_nhwc), inner: input,
        isResult: key.pass == .backwardData, threads: key.threads)
      self.output = try Port(
        outer: OneDNN.array(outputDims, dnnl_nhwc), inner: output, isResult: key.pass == .forward,
        threads: key.threads)
      self.weights = try Port(
        outer: OneDNN.array(g.weightShape, dnnl_oihw), inner: chosen,
        isResult: key.pass == .backwardWeights, threads: key.threads)
      self.bias = bias
    }
  }

  extension ConvolutionGeometry {
    /// F(4x4, 3x3) multiplies a quarter as often and measures twice as fast, copies of the images
    /// into blocks of channels included.
    fileprivate var suitsWinograd: Bool {
      window.kernelHeight == 3 && window.kernelWidth == 3 && window.strideHeight == 1
        && window.strideWidth == 1 && window.paddingHeight <= 1 && window.paddingWidth <= 1
        && window.channels % 16 == 0 && outChannels % 16 == 0
    }
  }

  /// The weight gradient of a pointwise convolution as one product, gradient^T x: three times as fast
  /// as the library's own primitive at 64 channels of 128 8x8 images.
  func pointwiseBackwardWeights(
    _ g: ConvolutionGeometry, _ x: Tensor, _ gradient: Tensor
  ) throws -> Tensor {
    try Tensor("conv2d", shape: g.weightShape) { out in
      try gemmOfColumns(
        m: g.outChannels, n: g.window.channels, k: g.outputPixels, gradient.storage.floats,
        x.storage.floats, out)
    }
  }

  private func withOptionalPointer<Value, Result>(
    _ isPresent: Bool, _ value: inout Value, _ body: (UnsafePointer<Value>?) throws -> Result
  ) rethrows -> Result {
    try withUnsafePointer(to: &value) { try body(isPresent ? $0 : nil) }
  }

  /// A pass cut into parts. They follow from the sizes alone, and threads take them as they come, so
  /// that results do not depend on the threads.
  private struct ConvolutionParts {
    private let parts: [(band: ConvolutionBand, plan: ConvolutionPlan)]

    /// Nil where Winograd's algorithm is better.
    init?(_ pass: ConvolutionPlan.Pass, _ g: ConvolutionGeometry, hasBias: Bool) throws {
      if g.suitsWinograd { return nil }
      let bands =
        switch pass {
        case .forward: g.parts(.outputRows, least: 0x1p23 / g.operations)
        case .backwardData: g.parts(.inputRows, least: 0x1p23 / g.operations)
        // Its weight gradient must be worth adding.
        case .backwardWeights: g.parts(.outputRows, least: 512 / Double(g.outputPixels))
        }
      let parts = try Self.planned(bands, pass, hasBias)
      let isUniform = parts.allSatisfy {
        OneDNN.isSame($0.plan.weights.inner, parts[0].plan.weights.inner)
      }
      self.parts =
        isUniform ? parts : try Self.planned([ConvolutionBand(all: g)], pass, hasBias)
    }

    private static func planned(
      _ bands: [ConvolutionBand], _ pass: ConvolutionPlan.Pass, _ hasBias: Bool
    ) throws -> [(band: ConvolutionBand, plan: ConvolutionPlan)] {
      var parts: [(band: ConvolutionBand, plan: ConvolutionPlan)] = []
      for band in bands {
        let known = parts.last.flatMap { $0.band.isSameSize(as: band) ? $0.plan : nil }
        parts.append((band, try known ?? ConvolutionPlan.of(pass, band, hasBias: hasBias)))
      }
      return parts
    }

    var count: Int { parts.count }
    var weights: Port { parts[0].plan.weights }
    var bias: dnnl_memory_desc_t { parts[0].plan.bias }

    /// Calls `arguments` with the number of each part, its plan, input and output.
    func run(
      input: Storage, output: Storage,
      _ arguments: (Int, ConvolutionPlan, UnsafeMutableRawPointer, UnsafeMutableRawPointer)
        -> [OneDNNPrimitive.Argument]
    ) throws {
      try parallelForEach(parts.count) { number in
        let (band, plan) = parts[number]
        try plan.primitive.execute(
          arguments(number, plan, input.base + 4 * band.input, output.base + 4 * band.output))
      }
    }
  }

  func oneDNNForward(
    _ g: ConvolutionGeometry, _ x: ConvolutionImages, _ weight: Tensor, bias: Tensor?
  ) throws -> Tensor {
    if let parts = try ConvolutionParts(.forward, g, hasBias: bias != nil) {
      let weights = try parts.weights.packed(weight.storage)
      let result = try Storage(.float32, count: g.outputCount)
      try parts.run(input: x.tensor.storage, output: result) { _, plan, input, output in
        [
          (DNNL_ARG_SRC, plan.input.inner, input),
          (DNNL_ARG_WEIGHTS, plan.weights.inner, weights.base),
          (DNNL_ARG_DST, plan.output.inner, output),
        ] + (bias.map { [(DNNL_ARG_BIAS, plan.bias, $0.storage.base)] } ?? [])
      }
      return Tensor(shape: g.outputShape, storage: result)
    }
    let plan = try ConvolutionPlan.of(.forward, g, hasBias: bias != nil)
    let input = try plan.input.packed(x)
    let weights = try plan.weights.packed(weight.storage)
    let output = try plan.output.unpacked { output in
      var arguments: [OneDNNPrimitive.Argument] = [
        (DNNL_ARG_SRC, plan.input.inner, input.base),
        (DNNL_ARG_WEIGHTS, plan.weights.inner, weights.base),
        (DNNL_ARG_DST, plan.output.inner, output.base),
      ]
      if let bias { arguments.append((DNNL_ARG_BIAS, plan.bias, bias.storage.base)) }
      try plan.primitive.execute(arguments)
    }
    return Tensor(shape: g.outputShape, storage: output)
  }

  func oneDNNBackwardData(
    _ g: ConvolutionGeometry, _ gradient: ConvolutionImages, _ weight: Tensor, bias: Tensor?
  ) throws -> Tensor {
    let input: Storage
    if let parts = try ConvolutionParts(.backwardData, g, hasBias: false) {
      let weights = try parts.weights.packed(weight.storage)
      input = try Storage(.float32, count: g.inputCount)
      try parts.run(input: input, output: gradient.tensor.storage) { _, plan, input, output in
        [
          (DNNL_ARG_DIFF_DST, plan.output.inner, output),
          (DNNL_ARG_WEIGHTS, plan.weights.inner, weights.base),
          (DNNL_ARG_DIFF_SRC, plan.input.inner, input),
        ]
      }
    } else {
      let plan = try ConvolutionPlan.of(.backwardData, g, hasBias: false)
      let output = try plan.output.packed(gradient)
      let weights = try plan.weights.packed(weight.storage)
      input = try plan.input.unpacked { input in
        try plan.primitive.execute([
          (DNNL_ARG_DIFF_DST, plan.output.inner, output.base),
          (DNNL_ARG_WEIGHTS, plan.weights.inner, weights.base),
          (DNNL_ARG_DIFF_SRC, plan.input.inner, input.base),
        ])
      }
    }
    if let bias {
      addRow(
        bias.storage.floats, rows: g.inputCount / bias.count, columns: bias.count, input.floats)
    }
    return Tensor(shape: g.inputShape, storage: input)
  }

  func oneDNNBackwardWeights(
    _ g: ConvolutionGeometry, _ x: ConvolutionImages, _ gradient: ConvolutionImages, bias: Bool
  ) throws -> (weight: Tensor, bias: Tensor?) {
    let biasGradient = bias ? try Storage(.float32, count: g.outChannels) : nil
    if let parts = try ConvolutionParts(.backwardWeights, g, hasBias: bias) {
      let size = OneDNN.byteCount(parts.weights.inner) / 4
      let each = try Storage(.float32, count: parts.count * size)
      let eachBias = bias ? try Storage(.float32, count: parts.count * g.outChannels) : nil
      try parts.run(input: x.tensor.storage, output: gradient.tensor.storage) {
        part, plan, input, output in
        [
          (DNNL_ARG_SRC, plan.input.inner, input),
          (DNNL_ARG_DIFF_DST, plan.output.inner, output),
          (DNNL_ARG_DIFF_WEIGHTS, plan.weights.inner, each.base + 4 * part * size),
        ]
          + (eachBias.map {
            [(DNNL_ARG_DIFF_BIAS, plan.bias, $0.base + 4 * part * g.outChannels)]
          } ?? [])
      }
      let weight = try parts.weights.unpacked { weight in
        sumParts(each.floats, count: parts.count, size: size, weight.floats)
      }
      if let eachBias, let biasGradient {
        sumParts(eachBias.floats, count: parts.count, size: g.outChannels, biasGradient.floats)
      }
      return (
        Tensor(shape: g.weightShape, storage: weight),
        biasGradient.map { Tensor(shape: [g.outChannels], storage: $0) }
      )
    }
    let plan = try ConvolutionPlan.of(.backwardWeights, g, hasBias: bias)
    let input = try plan.input.packed(x)
    let output = try plan.output.packed(gradient)
    let weight = try plan.weights.unpacked { weight in
      var arguments: [OneDNNPrimitive.Argument] = [
        (DNNL_ARG_SRC, plan.input.inner, input.base),
        (DNNL_ARG_DIFF_DST, plan.output.inner, output.base),
        (DNNL_ARG_DIFF_WEIGHTS, plan.weights.inner, weight.base),
      ]
      if let biasGradient { arguments.append((DNNL_ARG_DIFF_BIAS, plan.bias, biasGradient.base)) }
      try plan.primitive.execute(arguments)
    }
    return (
      Tensor(shape: g.weightShape, storage: weight),
      biasGradient.map { Tensor(shape: [g.outChannels], storage: $0) }
    )
  }
#endif
