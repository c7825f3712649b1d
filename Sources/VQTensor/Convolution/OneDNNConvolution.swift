#if VQ_ONEDNN
  import COneDNN
  import CPlatform
  import VQKernels

  /// An array that the caller keeps in one layout and a primitive in another.
  private struct Port {
    let outer, inner: dnnl_memory_desc_t
    private let copy: OneDNNPrimitive?

    init(outer: dnnl_memory_desc_t, inner: dnnl_memory_desc_t, isResult: Bool) throws {
      (self.outer, self.inner) = (outer, inner)
      if OneDNN.isSame(outer, inner) {
        copy = nil
      } else {
        copy = try OneDNNPrimitive.reorder(
          from: isResult ? inner : outer, to: isResult ? outer : inner)
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

  extension ConvolutionGeometry {
    /// The weight's shape, with an axis of groups where there are several.
    fileprivate var weightAxes: [Int] {
      groups == 1 ? weightShape : [groups, outChannels / groups] + weightShape.dropFirst()
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
      /// Of the operands; results are float32.
      let element: OneDNNElement
      /// Padding below and on the right.
      let bottom, right: Int

      var inputElement: OneDNNElement { pass == .backwardData ? .float32 : element }
      var outputElement: OneDNNElement { pass == .forward ? .float32 : element }
      var weightElement: OneDNNElement { pass == .backwardWeights ? .float32 : element }
    }

    /// The pass over a band.
    static func of(
      _ pass: Pass, _ band: ConvolutionBand, hasBias: Bool, _ element: OneDNNElement
    ) throws -> ConvolutionPlan {
      let key = Key(
        pass: pass, geometry: band.geometry, hasBias: hasBias, element: element,
        bottom: band.bottom, right: band.right)
      return try cache.value(key) { try ConvolutionPlan(key) }
    }

    private static let cache = OneDNNCache<Key, ConvolutionPlan>()

    let primitive: OneDNNPrimitive
    let inputElement, outputElement: OneDNNElement
    let input, output: dnnl_memory_desc_t
    let weights: Port
    let bias: dnnl_memory_desc_t

    private init(_ key: Key) throws {
      let (g, w) = (key.geometry, key.geometry.window)
      let inputDims = [g.images, w.channels, w.height, w.width]
      let outputDims = [g.images, g.outChannels, w.outHeight, w.outWidth]
      var input = try OneDNN.array(inputDims, dnnl_nhwc, key.inputElement.type)
      var output = try OneDNN.array(outputDims, dnnl_nhwc, key.outputElement.type)
      var weights = try OneDNN.array(g.weightAxes, dnnl_format_tag_any, key.weightElement.type)
      var bias = try OneDNN.array([g.outChannels], dnnl_x)
      let algorithm = dnnl_convolution_direct
      let strides = [Int64(w.strideHeight), Int64(w.strideWidth)]
      let padding = [Int64(w.paddingHeight), Int64(w.paddingWidth)]
      let paddingBehind = [Int64(key.bottom), Int64(key.right)]
      // The library counts the elements between those of a kernel.
      let gaps = [Int64(w.dilationHeight - 1), Int64(w.dilationWidth - 1)]

      var chosen = weights
      primitive = try OneDNNPrimitive { attributes, engine in
        func create(_ operation: dnnl_convolution_desc_t, hint: dnnl_primitive_desc_t? = nil) throws
          -> dnnl_primitive_desc_t?
        {
          var (operation, description): (_, dnnl_primitive_desc_t?) = (operation, nil)
          try OneDNN.check(
            dnnl_primitive_desc_create(&description, &operation, attributes, engine, hint),
            "dnnl_primitive_desc_create")
          return description
        }
        func forward() throws -> dnnl_primitive_desc_t? {
          var operation = dnnl_convolution_desc_t()
          var input = try OneDNN.array(inputDims, dnnl_nhwc, key.element.type)
          var output = try OneDNN.array(outputDims, dnnl_nhwc)
          var weights = try OneDNN.array(g.weightAxes, dnnl_format_tag_any, key.element.type)
          try withOptionalPointer(key.hasBias, &bias) { bias in
            try OneDNN.check(
              dnnl_dilated_convolution_forward_desc_init(
                &operation, dnnl_forward_training, algorithm, &input, &weights,
                bias, &output, strides, gaps, padding, paddingBehind),
              "dnnl_dilated_convolution_forward_desc_init")
          }
          return try create(operation)
        }
        if key.pass == .forward {
          let description = try forward()
          chosen = try OneDNNPrimitive.layout(description, dnnl_query_weights_md)
          return description
        }
        let hint = try forward()
        defer { dnnl_primitive_desc_destroy(hint) }
        var operation = dnnl_convolution_desc_t()
        if key.pass == .backwardData {
          try OneDNN.check(
            dnnl_dilated_convolution_backward_data_desc_init(
              &operation, algorithm, &input, &weights, &output, strides, gaps, padding,
              paddingBehind), "dnnl_dilated_convolution_backward_data_desc_init")
        } else {
          try withOptionalPointer(key.hasBias, &bias) { bias in
            try OneDNN.check(
              dnnl_dilated_convolution_backward_weights_desc_init(
                &operation, algorithm, &input, &weights, bias, &output, strides, gaps, padding,
                paddingBehind), "dnnl_dilated_convolution_backward_weights_desc_init")
          }
        }
        let description = try create(operation, hint: hint)
        chosen = try OneDNNPrimitive.layout(
          description,
          key.pass == .backwardData ? dnnl_query_weights_md : dnnl_query_diff_weights_md)
        return description
      }
      (self.input, self.output) = (input, output)
      (inputElement, outputElement) = (key.inputElement, key.outputElement)
      self.weights = try Port(
        outer: OneDNN.array(g.weightAxes, g.groups == 1 ? dnnl_oihw : dnnl_goihw), inner: chosen,
        isResult: key.pass == .backwardWeights)
      self.bias = bias
    }
  }

  private func withOptionalPointer<Value, Result>(
    _ isPresent: Bool, _ value: inout Value, _ body: (UnsafePointer<Value>?) throws -> Result
  ) rethrows -> Result {
    try withUnsafePointer(to: &value) { try body(isPresent ? $0 : nil) }
  }

  /// A pass cut into parts. They follow from the sizes alone, and threads take them as they come,
  /// so that results do not depend on the threads.
  private struct ConvolutionParts {
    private let parts: [(band: ConvolutionBand, plan: ConvolutionPlan)]

    init(
      _ pass: ConvolutionPlan.Pass, _ g: ConvolutionGeometry, hasBias: Bool,
      _ element: OneDNNElement
    ) throws {
      let bands =
        switch pass {
        case .forward: g.parts(.outputs, least: 0x1p23 / g.operations)
        case .backwardData: g.parts(.inputs, least: 0x1p23 / g.operations)
        // Its weight gradient must be worth adding.
        case .backwardWeights: g.parts(.outputs, least: 512 / Double(g.outputPixels))
        }
      let parts = try Self.planned(bands, pass, hasBias, element)
      let isUniform = parts.allSatisfy {
        OneDNN.isSame($0.plan.weights.inner, parts[0].plan.weights.inner)
      }
      self.parts =
        isUniform ? parts : try Self.planned([ConvolutionBand(all: g)], pass, hasBias, element)
    }

    private static func planned(
      _ bands: [ConvolutionBand], _ pass: ConvolutionPlan.Pass, _ hasBias: Bool,
      _ element: OneDNNElement
    ) throws -> [(band: ConvolutionBand, plan: ConvolutionPlan)] {
      var parts: [(band: ConvolutionBand, plan: ConvolutionPlan)] = []
      for band in bands {
        let known = parts.last.flatMap { $0.band.isSameSize(as: band) ? $0.plan : nil }
        parts.append(
          (band, try known ?? ConvolutionPlan.of(pass, band, hasBias: hasBias, element)))
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
          arguments(
            number, plan, input.base + plan.inputElement.byteCount * band.input,
            output.base + plan.outputElement.byteCount * band.output))
      }
    }
  }

  func oneDNNForward(
    _ g: ConvolutionGeometry, _ x: Tensor, _ weight: Tensor, bias: Tensor?,
    _ element: OneDNNElement = .float32
  ) throws -> Tensor {
    let parts = try ConvolutionParts(.forward, g, hasBias: bias != nil, element)
    let weights = try parts.weights.packed(weight.storage)
    let result = try Storage(.float32, count: g.outputCount)
    try parts.run(input: element.elements(x, of: "conv2d"), output: result) {
      _, plan, input, output in
      [
        (DNNL_ARG_SRC, plan.input, input),
        (DNNL_ARG_WEIGHTS, plan.weights.inner, weights.base),
        (DNNL_ARG_DST, plan.output, output),
      ] + (bias.map { [(DNNL_ARG_BIAS, plan.bias, $0.storage.base)] } ?? [])
    }
    return Tensor(shape: g.outputShape, storage: result)
  }

  func oneDNNBackwardData(
    _ g: ConvolutionGeometry, _ gradient: Tensor, _ weight: Tensor, bias: Tensor?,
    _ element: OneDNNElement = .float32
  ) throws -> Tensor {
    let parts = try ConvolutionParts(.backwardData, g, hasBias: false, element)
    let weights = try parts.weights.packed(weight.storage)
    let input = try Storage(.float32, count: g.inputCount)
    try parts.run(input: input, output: element.elements(gradient, of: "conv2d")) {
      _, plan, input, output in
      [
        (DNNL_ARG_DIFF_DST, plan.output, output),
        (DNNL_ARG_WEIGHTS, plan.weights.inner, weights.base),
        (DNNL_ARG_DIFF_SRC, plan.input, input),
      ]
    }
    if let bias {
      addRow(
        bias.storage.floats, rows: g.inputCount / bias.count, columns: bias.count, input.floats)
    }
    return Tensor(shape: g.inputShape, storage: input)
  }

  func oneDNNBackwardWeights(
    _ g: ConvolutionGeometry, _ x: Tensor, _ gradient: Tensor, bias: Bool,
    _ element: OneDNNElement = .float32
  ) throws -> (weight: Tensor, bias: Tensor?) {
    let parts = try ConvolutionParts(.backwardWeights, g, hasBias: bias, element)
    let size = OneDNN.byteCount(parts.weights.inner) / 4
    let each = try Storage(.float32, count: parts.count * size)
    let eachBias = bias ? try Storage(.float32, count: parts.count * g.outChannels) : nil
    try parts.run(
      input: element.elements(x, of: "conv2d"), output: element.elements(gradient, of: "conv2d")
    ) { part, plan, input, output in
      [
        (DNNL_ARG_SRC, plan.input, input),
        (DNNL_ARG_DIFF_DST, plan.output, output),
        (DNNL_ARG_DIFF_WEIGHTS, plan.weights.inner, each.base + 4 * part * size),
      ]
        + (eachBias.map {
          [(DNNL_ARG_DIFF_BIAS, plan.bias, $0.base + 4 * part * g.outChannels)]
        } ?? [])
    }
    let weight = try parts.weights.unpacked { weight in
      sumParts(each.floats, count: parts.count, size: size, weight.floats)
    }
    let biasGradient = try eachBias.map { each in
      let sum = try Storage(.float32, count: g.outChannels)
      sumParts(each.floats, count: parts.count, size: g.outChannels, sum.floats)
      return Tensor(shape: [g.outChannels], storage: sum)
    }
    return (Tensor(shape: g.weightShape, storage: weight), biasGradient)
  }
#endif
