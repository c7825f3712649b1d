#if VQ_ONEDNN
  import COneDNN
  import CPlatform
  import VQKernels

  /// A convolution pass compiled for one geometry, with the copies between torch's weight layout and
  /// the one that the library chose.
  private final class ConvolutionPlan {
    enum Pass: Hashable { case forward, backwardData, backwardWeights }

    struct Key: Hashable {
      let pass: Pass
      let geometry: ConvolutionGeometry
      let hasBias: Bool
      let threads: Int
    }

    private static let cache = OneDNNCache<Key, ConvolutionPlan>()

    static func of(_ pass: Pass, _ g: ConvolutionGeometry, hasBias: Bool) throws -> ConvolutionPlan
    {
      vq_adopt_thread_count()
      let key = Key(pass: pass, geometry: g, hasBias: hasBias, threads: threadCount)
      return try cache.value(key) { try ConvolutionPlan(key) }
    }

    let primitive: OneDNNPrimitive
    let input, output, weights, bias: dnnl_memory_desc_t
    private let torchWeights: dnnl_memory_desc_t
    private let reorder: OneDNNPrimitive?

    private init(_ key: Key) throws {
      let g = key.geometry
      let w = g.window
      var input = try OneDNN.array(
        [g.images, w.channels, w.height, w.width], dnnl_nhwc)
      var output = try OneDNN.array(
        [g.images, g.outChannels, w.outHeight, w.outWidth], dnnl_nhwc)
      var anyWeights = try OneDNN.array(g.weightShape, dnnl_format_tag_any)
      let torchWeights = try OneDNN.array(g.weightShape, dnnl_oihw)
      var bias = try OneDNN.array([g.outChannels], dnnl_x)
      let strides = [Int64(w.strideHeight), Int64(w.strideWidth)]
      let padding = [Int64(w.paddingHeight), Int64(w.paddingWidth)]

      var weights = anyWeights
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
          try withOptionalPointer(key.hasBias, &bias) { bias in
            try OneDNN.check(
              dnnl_convolution_forward_desc_init(
                &operation, dnnl_forward_training, dnnl_convolution_direct, &input, &anyWeights,
                bias, &output, strides, padding, padding),
              "dnnl_convolution_forward_desc_init")
          }
          return try create(operation)
        }
        if key.pass == .forward {
          let description = try forward()
          weights = try OneDNNPrimitive.layout(description, dnnl_query_weights_md)
          return description
        }
        let hint = try forward()
        defer { dnnl_primitive_desc_destroy(hint) }
        var operation = dnnl_convolution_desc_t()
        if key.pass == .backwardData {
          try OneDNN.check(
            dnnl_convolution_backward_data_desc_init(
              &operation, dnnl_convolution_direct, &input, &anyWeights, &output, strides, padding,
              padding), "dnnl_convolution_backward_data_desc_init")
        } else {
          try withOptionalPointer(key.hasBias, &bias) { bias in
            try OneDNN.check(
              dnnl_convolution_backward_weights_desc_init(
                &operation, dnnl_convolution_direct, &input, &anyWeights, bias, &output, strides,
                padding, padding), "dnnl_convolution_backward_weights_desc_init")
          }
        }
        let description = try create(operation, hint: hint)
        weights = try OneDNNPrimitive.layout(
          description,
          key.pass == .backwardData ? dnnl_query_weights_md : dnnl_query_diff_weights_md)
        return description
      }
      (self.input, self.output, self.weights, self.bias) = (input, output, weights, bias)
      self.torchWeights = torchWeights
      if OneDNN.isSame(weights, torchWeights) {
        reorder = nil
      } else if key.pass == .backwardWeights {
        reorder = try OneDNNPrimitive.reorder(from: weights, to: torchWeights)
      } else {
        reorder = try OneDNNPrimitive.reorder(from: torchWeights, to: weights)
      }
    }

    /// The weight in the layout of the primitive.
    func packed(_ weight: Tensor) throws -> Storage {
      guard let reorder else { return weight.storage }
      let storage = try OneDNN.buffer(weights)
      try reorder.execute([
        (DNNL_ARG_FROM, torchWeights, weight.storage.base), (DNNL_ARG_TO, weights, storage.base),
      ])
      return storage
    }

    /// A weight in torch's layout from one that `fill` writes in the layout of the primitive.
    func unpacked(_ fill: (Storage) throws -> Void, into weight: Storage) throws {
      guard let reorder else { return try fill(weight) }
      let storage = try OneDNN.buffer(weights)
      try fill(storage)
      try reorder.execute([
        (DNNL_ARG_FROM, weights, storage.base), (DNNL_ARG_TO, torchWeights, weight.base),
      ])
    }
  }

  private func withOptionalPointer<Value, Result>(
    _ isPresent: Bool, _ value: inout Value, _ body: (UnsafePointer<Value>?) throws -> Result
  ) rethrows -> Result {
    try withUnsafePointer(to: &value) { try body(isPresent ? $0 : nil) }
  }

  func oneDNNForward(_ g: ConvolutionGeometry, _ x: Tensor, _ weight: Tensor, bias: Tensor?) throws
    -> Tensor
  {
    let plan = try ConvolutionPlan.of(.forward, g, hasBias: bias != nil)
    let packed = try plan.packed(weight)
    return try Tensor("conv2d", shape: g.outputShape) { out in
      var arguments: [OneDNNPrimitive.Argument] = [
        (DNNL_ARG_SRC, plan.input, x.storage.base), (DNNL_ARG_WEIGHTS, plan.weights, packed.base),
        (DNNL_ARG_DST, plan.output, UnsafeMutableRawPointer(out)),
      ]
      if let bias { arguments.append((DNNL_ARG_BIAS, plan.bias, bias.storage.base)) }
      try plan.primitive.execute(arguments)
    }
  }

  func oneDNNBackwardData(
    _ g: ConvolutionGeometry, _ gradient: Tensor, _ weight: Tensor, bias: Tensor?
  ) throws -> Tensor {
    let plan = try ConvolutionPlan.of(.backwardData, g, hasBias: false)
    let packed = try plan.packed(weight)
    return try Tensor("conv2d", shape: g.inputShape) { out in
      try plan.primitive.execute([
        (DNNL_ARG_DIFF_DST, plan.output, gradient.storage.base),
        (DNNL_ARG_WEIGHTS, plan.weights, packed.base),
        (DNNL_ARG_DIFF_SRC, plan.input, UnsafeMutableRawPointer(out)),
      ])
      if let bias {
        addRow(bias.storage.floats, rows: g.inputCount / bias.count, columns: bias.count, out)
      }
    }
  }

  func oneDNNBackwardWeights(
    _ g: ConvolutionGeometry, _ x: Tensor, _ gradient: Tensor, bias: Bool
  ) throws -> (weight: Tensor, bias: Tensor?) {
    let plan = try ConvolutionPlan.of(.backwardWeights, g, hasBias: bias)
    let biasGradient = bias ? try Storage(.float32, count: g.outChannels) : nil
    let weight = try Storage(.float32, count: g.weightCount)
    try plan.unpacked(
      { packed in
        var arguments: [OneDNNPrimitive.Argument] = [
          (DNNL_ARG_SRC, plan.input, x.storage.base),
          (DNNL_ARG_DIFF_DST, plan.output, gradient.storage.base),
          (DNNL_ARG_DIFF_WEIGHTS, plan.weights, packed.base),
        ]
        if let biasGradient {
          arguments.append((DNNL_ARG_DIFF_BIAS, plan.bias, biasGradient.base))
        }
        try plan.primitive.execute(arguments)
      }, into: weight)
    return (
      Tensor(shape: g.weightShape, storage: weight),
      biasGradient.map { Tensor(shape: [g.outChannels], storage: $0) }
    )
  }
#endif
