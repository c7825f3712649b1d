import CVQSwift
import Glibc
import Testing
import VQSwiftC
import VQTensor

/// A tensor handle that is released with its owner.
final class Handle {
  let pointer: OpaquePointer

  init(_ shape: [Int64], _ values: [Float]) throws {
    var out: OpaquePointer?
    let status = vq_tensor_create(
      Int32(VQ_FLOAT32), shape, Int64(shape.count), values, &out)
    try #require(status == vq_status(VQ_OK))
    pointer = try #require(out)
  }

  deinit { vq_tensor_release(pointer) }
}

func text() -> String { String(cString: vq_last_error()) }

@Suite(.serialized) struct StatusTests {
  /// Every class of error, by a call that a caller can get wrong.
  @Test func statusesNameTheClassOfError() throws {
    let x = try Handle([2, 3], [Float](repeating: 1, count: 6))
    let codes: [Int32] = [5]
    var code: OpaquePointer?
    #expect(vq_tensor_create(Int32(VQ_INT32), [1], 1, codes, &code) == 0)
    defer { vq_tensor_release(code) }
    var out: OpaquePointer? = x.pointer
    #expect(vq_tensor_matmul(x.pointer, x.pointer, &out) == Int32(VQ_ERROR_VALUE))
    #expect(out == nil)
    #expect(vq_tensor_matmul(x.pointer, code, &out) == Int32(VQ_ERROR_TYPE))
    #expect(vq_tensor_gather_rows(x.pointer, code, &out) == Int32(VQ_ERROR_INDEX))
    #expect(
      vq_tensor_broadcast_to(x.pointer, [1 << 40, 1 << 40], 2, &out)
        == Int32(VQ_ERROR_VALUE))
    var generator: OpaquePointer?
    #expect(vq_generator_create(1, 0, &generator) == 0)
    defer { vq_generator_release(generator) }
    #expect(
      vq_generator_uniform(generator, [1 << 40, 1 << 40], 2, 0, 1, &out)
        == Int32(VQ_ERROR_OVERFLOW))
    #expect(
      vq_generator_uniform(generator, [1 << 43], 1, 0, 1, &out) == Int32(VQ_ERROR_MEMORY))
    var (metadata, unread): (OpaquePointer?, OpaquePointer?)
    #expect(
      vq_archive_load("/nonexistent/file", &out, &metadata, &unread) == Int32(VQ_ERROR_IO))
    #expect(vq_tensor_backward(x.pointer, nil, false) == Int32(VQ_ERROR_RUNTIME))
  }

  @Test func textNamesOperationValuesAndRule() throws {
    let x = try Handle([2, 3], [Float](repeating: 1, count: 6))
    var out: OpaquePointer?
    _ = vq_tensor_matmul(x.pointer, x.pointer, &out)
    #expect(
      text() == "[matmul] shapes [2, 3] and [2, 3]: the inner axes must be equal, and 3 is not 2")
    _ = vq_tensor_unary(nil, "exp", 0, &out)
    #expect(text() == "[handle] NULL where a Tensor is required")
    _ = vq_tensor_unary(x.pointer, "exp", 0, nil)
    #expect(text() == "[handle] the out-parameter is NULL")
    _ = vq_tensor_unary(x.pointer, "tan", 0, &out)
    #expect(text().hasPrefix("[unary] function = 'tan': it must be one of [\"abs\", "))
    _ = vq_tensor_concatenate(nil, -1, 0, &out)
    #expect(text() == "[handle] a list has -1 items: 0 to 16777216 are taken")
    _ = vq_module_create("linear", nil, 2, nil, 0, nil, &out)
    #expect(text() == "[handle] a list of 2 items is NULL")
    _ = vq_set_threads(0)
    #expect(text() == "[set_threads] count = 0: it must lie in 1...4096")
  }

  @Test func successLeavesTheLastText() throws {
    let x = try Handle([1], [4])
    _ = vq_set_threads(0)
    var out: OpaquePointer?
    #expect(vq_tensor_unary(x.pointer, "sqrt", 0, &out) == 0)
    #expect(text().hasPrefix("[set_threads]"))
    vq_tensor_release(out)
  }

  @Test func handlesAreCountedUntilReleased() throws {
    let before = vq_live_handles()
    var x: Handle? = try Handle([2], [1, 2])
    #expect(vq_live_handles() == before + 1)
    var failed: OpaquePointer?
    _ = vq_tensor_reshape(x?.pointer, [3], 1, &failed)
    #expect(vq_live_handles() == before + 1)
    x = nil
    #expect(vq_live_handles() == before)
  }

  @Test func structSizeIsChecked() throws {
    let z = try Handle([2, 3], [Float](repeating: 1, count: 6))
    var quantizer: OpaquePointer?
    let sizes = ["feature_size", "num_codes"].map { (name: String) in strdup(name) }
    defer { sizes.forEach { free($0) } }
    let options = sizes.map { name in
      var option = vq_option()
      (option.name, option.integer) = (UnsafePointer(name), 3)
      return option
    }
    #expect(vq_module_create("vector_quant", options, 2, nil, 0, nil, &quantizer) == 0)
    defer { vq_module_release(quantizer) }
    var out = vq_quantized()
    out.struct_size = 4
    #expect(vq_quantizer_forward(quantizer, z.pointer, nil, nil, 0, &out) == Int32(VQ_ERROR_VALUE))
    #expect(
      text() == "[quantizer] struct_size = 4: this library's struct has "
        + "\(MemoryLayout<vq_quantized>.size)")
  }

  @Test func listsAreWhole() throws {
    var kinds: OpaquePointer?
    #expect(vq_kinds("optimizer", &kinds) == 0)
    defer { vq_list_release(kinds) }
    let names = (0..<vq_list_count(kinds)).map { String(cString: vq_list_name(kinds, $0)) }
    #expect(
      names == ["sgd", "adam", "adamw", "rmsprop", "adagrad", "lion", "adafactor", "muon"])
    #expect(String(cString: vq_list_text(kinds, 1)) == "betas eps decay_biases_and_norms")
    #expect(vq_list_name(kinds, 8) == nil && vq_list_text(kinds, -1) == nil)
    var out: OpaquePointer?
    #expect(vq_list_tensor(kinds, 0, &out) == Int32(VQ_ERROR_RUNTIME))
    #expect(vq_list_module(kinds, 8, &out) == Int32(VQ_ERROR_INDEX))
    #expect(vq_kinds("planet", &out) == Int32(VQ_ERROR_VALUE))
  }
}

@Suite struct ErrorTextTests {
  static let texts: [(VQError, String)] = [
    (.shape("sum", [[2]], "rule"), "[sum] shape [2]: rule"),
    (.shape("add", [[2], [3, 4]], "rule"), "[add] shapes [2] and [3, 4]: rule"),
    (.value("slice", "step", "0", "rule"), "[slice] step = 0: rule"),
    (.type("exp", [.int32], "rule"), "[exp] dtype int32: rule"),
    (.type("add", [.int32, .float32], "rule"), "[add] dtypes int32 and float32: rule"),
    (
      .nonFinite("kmeans", "x", value: .nan, index: 3),
      "[kmeans] x holds nan at flat index 3: every element must be finite"
    ),
    (.empty("mean", [0, 2], "rule"), "[mean] shape [0, 2] has no elements: rule"),
    (.index("gather_rows", value: -1, bound: 3), "[gather_rows] index -1 is outside 0..<3"),
    (.overflow("full", [1, 2]), "[full] sizes [1, 2]: their product does not fit in memory"),
    (.memory(bytes: 8), "[allocate] 8 bytes: the system has not that much memory"),
    (.io("open", path: "/a", reason: "gone"), "[open] /a: gone"),
    (.format("/a", "rule"), "[load] /a: rule"),
    (.misuse("backward", "rule"), "[backward] rule"),
    (.library("oneDNN", "call", status: 2), "[oneDNN] call failed with status 2"),
  ]

  @Test(arguments: texts) func proseIsMadeInOnePlace(error: VQError, expected: String) {
    #expect("\(error)" == expected)
  }
}
