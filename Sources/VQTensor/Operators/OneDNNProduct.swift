#if VQ_ONEDNN
  import COneDNN
  import VQKernels

  /// Types of operands that oneDNN multiplies into float32 sums.
  enum OneDNNElement: Hashable {
    case float32, bfloat16

    var type: dnnl_data_type_t { self == .float32 ? dnnl_f32 : dnnl_bf16 }
    var byteCount: Int { self == .float32 ? 4 : 2 }

    /// Elements of `x` in this type.
    func elements(_ x: Tensor, of operation: String) throws -> Storage {
      self == .float32 ? x.storage : try x.bfloat16Elements(operation)
    }

    /// The product of matrices.
    func product(_ a: Tensor, _ b: Tensor) throws -> Tensor {
      let (m, k, n) = (a.shape[0], a.shape[1], b.shape[1])
      let (x, y) = (try elements(a, of: "matmul"), try elements(b, of: "matmul"))
      return try withExtendedLifetime((x, y)) {
        try Tensor("matmul", shape: [m, n]) { out in
          try gemm(
            self, m: m, n: n, k: k, x.base, lda: k, y.base, ldb: n, beta: 0, out, ldc: n)
        }
      }
    }

    /// Whether the library multiplies the type on this CPU: small integers, whose sums are exact in
    /// any order, give the sums.
    var isRight: Bool {
      func integers(_ shape: [Int], _ step: Int) throws -> Tensor {
        try Tensor("trial", shape: shape) { out in
          for i in 0..<shape.reduce(1, *) { out[i] = Float((i * step + i / 7) % 9 - 4) }
        }
      }
      func isSame(_ a: Tensor, _ b: Tensor) -> Bool { a.values == b.values }
      do {
        let (a, b) = (try integers([70, 96], 5), try integers([96, 48], 7))
        guard isSame(try product(a, b), try ProductPrecision.float32.within { try a.matmul(b) })
        else { return false }

        let x = try integers([3, 9, 9, 16], 5)
        let weight = try integers([24, 16, 3, 3], 7)
        let g = ConvolutionGeometry(
          images: 3, outChannels: 24,
          window: Window(
            height: 9, width: 9, channels: 16, outHeight: 5, outWidth: 5, kernel: (3, 3),
            stride: (2, 2), padding: (1, 1), dilation: (1, 1)))
        let gradient = try integers(g.outputShape, 4)
        let witness = ConvolutionBackend.patches
        let passes = try [
          (
            oneDNNForward(g, x, weight, bias: nil, self),
            witness.forward(g, x, weight, bias: nil)
          ),
          (
            oneDNNBackwardData(g, gradient, weight, bias: nil, self),
            witness.backwardData(g, gradient, weight)
          ),
          (
            oneDNNBackwardWeights(g, x, gradient, bias: false, self).weight,
            witness.backwardWeights(g, x, gradient, bias: false).weight
          ),
        ]
        return passes.allSatisfy(isSame)
      } catch {
        return false
      }
    }
  }

  /// `c = op(a) op(b)`, or added to it, for operands of a type, compiled for one size.
  private final class ProductPlan {
    struct Key: Hashable {
      let element: OneDNNElement
      let m, n, k, lda, ldb, ldc: Int
      let transposeA, transposeB, adds: Bool
    }

    static func of(_ key: Key) throws -> ProductPlan {
      try cache.value(key) { try ProductPlan(key) }
    }

    private static let cache = OneDNNCache<Key, ProductPlan>()

    private let primitive: OneDNNPrimitive
    private let a, b, c: dnnl_memory_desc_t

    private init(_ key: Key) throws {
      let type = key.element.type
      var a = try OneDNN.matrix(key.m, key.k, key.lda, isTransposed: key.transposeA, type)
      var b = try OneDNN.matrix(key.k, key.n, key.ldb, isTransposed: key.transposeB, type)
      var c = try OneDNN.matrix(key.m, key.n, key.ldc, isTransposed: false, dnnl_f32)
      primitive = try OneDNNPrimitive { attributes, engine in
        var operations: dnnl_post_ops_t?
        try OneDNN.check(dnnl_post_ops_create(&operations), "dnnl_post_ops_create")
        defer { dnnl_post_ops_destroy(operations) }
        if key.adds {
          try OneDNN.check(
            dnnl_post_ops_append_sum(operations, 1), "dnnl_post_ops_append_sum")
        }
        try OneDNN.check(
          dnnl_primitive_attr_set_post_ops(attributes, operations),
          "dnnl_primitive_attr_set_post_ops")
        var operation = dnnl_matmul_desc_t()
        try OneDNN.check(
          dnnl_matmul_desc_init(&operation, &a, &b, nil, &c), "dnnl_matmul_desc_init")
        var description: dnnl_primitive_desc_t?
        try OneDNN.check(
          dnnl_primitive_desc_create(&description, &operation, attributes, engine, nil),
          "dnnl_primitive_desc_create")
        return description
      }
      (self.a, self.b, self.c) = (a, b, c)
    }

    func run(
      _ a: UnsafeMutableRawPointer, _ b: UnsafeMutableRawPointer, _ c: UnsafeMutablePointer<Float>
    ) throws {
      try primitive.execute([
        (DNNL_ARG_SRC, self.a, a), (DNNL_ARG_WEIGHTS, self.b, b),
        (DNNL_ARG_DST, self.c, UnsafeMutableRawPointer(c)),
      ])
    }
  }

  extension OneDNN {
    /// A matrix [rows, columns], whose rows, or columns where it is transposed, are `length` apart.
    fileprivate static func matrix(
      _ rows: Int, _ columns: Int, _ length: Int, isTransposed: Bool, _ type: dnnl_data_type_t
    ) throws -> dnnl_memory_desc_t {
      var descriptor = dnnl_memory_desc_t()
      let strides = isTransposed ? [1, Int64(length)] : [Int64(length), 1]
      try check(
        dnnl_memory_desc_init_by_strides(
          &descriptor, 2, [Int64(rows), Int64(columns)], type, strides),
        "dnnl_memory_desc_init_by_strides")
      return descriptor
    }
  }

  /// `gemm` of operands of a type; `beta` is 0 or 1 and k at least 1.
  func gemm(
    _ element: OneDNNElement, transposeA: Bool = false, transposeB: Bool = false, m: Int, n: Int,
    k: Int, _ a: UnsafeMutableRawPointer, lda: Int, _ b: UnsafeMutableRawPointer, ldb: Int,
    beta: Float, _ c: UnsafeMutablePointer<Float>, ldc: Int
  ) throws {
    let size = element.byteCount
    try forEachProductTile(m, n, k) { tile in
      let plan = try ProductPlan.of(
        ProductPlan.Key(
          element: element, m: tile.rows, n: tile.columns, k: tile.depth, lda: lda, ldb: ldb,
          ldc: ldc, transposeA: transposeA, transposeB: transposeB,
          adds: tile.start > 0 || beta == 1))
      try plan.run(
        a + size * tile.inA(lda, isTransposed: transposeA),
        b + size * tile.inB(ldb, isTransposed: transposeB), c + tile.top * ldc + tile.left)
    }
  }
#endif
