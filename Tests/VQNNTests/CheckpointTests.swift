import Testing
import VQTesting

@testable import VQNN
@testable import VQTensor

@Suite struct CheckpointTests {
  private let directory = Directory()
  private var path: String { "\(directory.path)/model.safetensors" }

  @Test func roundTripKeepsEveryBit() throws {
    let values = try Tensor([1.5, -0.0, .infinity, 0x1p-149, .nan, 3], shape: [2, 3])
    let codes = try Tensor(codes: [7, -1, .max], shape: [3])
    let saved: [NamedTensor] = [
      ("b.weight", values), ("a", codes), ("empty", try Tensor.zeros([0, 4])),
      ("scalar", try Tensor(scalar: 2)),
    ]
    try Checkpoint.save(saved, metadata: ["epoch": "3", "name": "caf\u{e9} \"x\"\n"], to: path)
    let content = try Checkpoint.load(path)
    let (tensors, metadata) = (content.tensors, content.metadata)
    #expect(
      tensors.map(\.name)
        == ["b.weight", "a", "empty", "scalar"].sorted { x, y in
          saved.firstIndex { $0.name == x }! < saved.firstIndex { $0.name == y }!
        })
    #expect(tensors.map(\.tensor.shape) == [[2, 3], [3], [0, 4], []])
    #expect(tensors.map(\.tensor.dtype) == [.float32, .int32, .float32, .float32])
    #expect(tensors[0].tensor.values.map(\.bitPattern) == values.values.map(\.bitPattern))
    #expect(tensors[1].tensor.codes == [7, -1, .max])
    #expect(metadata == ["epoch": "3", "name": "caf\u{e9} \"x\"\n"])
    #expect(directory.names == ["model.safetensors"])
  }

  @Test func layoutIsThatOfSafetensors() throws {
    try Checkpoint.save([("x", try Tensor([1], shape: [1]))], to: path)
    let header = #"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}  "#
    #expect(
      directory.read("model.safetensors")
        == [UInt8(header.utf8.count), 0, 0, 0, 0, 0, 0, 0] + Array(header.utf8) + [
          0, 0, 0x80, 0x3F,
        ])
  }

  @Test func savingReplacesAnOlderFile() throws {
    try Checkpoint.save([("x", try Tensor([1], shape: [1]))], to: path)
    try Checkpoint.save([("x", try Tensor([2], shape: [1]))], to: path)
    #expect(try Checkpoint.load(path).tensors[0].tensor.values == [2])
    #expect(directory.names == ["model.safetensors"])
  }

  @Test func nothingAndEscapesAreRead() throws {
    let text = #" {"__metadata__" : { "k\u00e9\ud83d\ude00" : "\t\\\/" } } "#
    let content = try Checkpoint.load(file(text))
    #expect(content.tensors.isEmpty && content.unread.isEmpty)
    #expect(content.metadata == ["k\u{e9}\u{1F600}": "\t\\/"])
  }

  @Test func namesThatCannotBeSaved() throws {
    let x = try Tensor([1], shape: [1])
    let rule = "every name must be given once, and none may be __metadata__"
    #expect(
      errorText { try Checkpoint.save([("x", x), ("x", x)], to: path) }
        == "[save] name = x: \(rule)")
    #expect(
      errorText { try Checkpoint.save([("__metadata__", x)], to: path) }
        == "[save] name = __metadata__: \(rule)")
    #expect(directory.names.isEmpty)
  }

  @Test func systemErrorsNameThePath() throws {
    #expect(
      errorText { _ = try Checkpoint.load("/nowhere/x") }
        == "[load] /nowhere/x: No such file or directory")
    #expect(
      errorText { _ = try Checkpoint.load(directory.path) }
        == "[load] \(directory.path): Is a directory")
    let failed = errorText { try Checkpoint.save([], to: "/nowhere/x") }
    #expect(failed.hasPrefix("[save] /nowhere/x") && failed.hasSuffix("No such file or directory"))
    #expect(
      errorText { _ = try Checkpoint.load("a\0b") }
        == "[load] a\0b: a path must hold no null")
  }

  @Test func failedRenameLeavesNothingBehind() throws {
    // A directory cannot be replaced by a file.
    let failed = errorText { try Checkpoint.save([], to: "\(directory.path)/.") }
    #expect(failed != "")
    #expect(directory.names.isEmpty)
  }

  /// A file of `header` and `data` zero bytes.
  private func file(_ header: String, data: Int = 0, length: UInt64? = nil) -> String {
    var bytes: [UInt8] = []
    let length = length ?? UInt64(header.utf8.count)
    for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: length >> (8 * UInt64(shift)))) }
    return directory.write(bytes + Array(header.utf8) + [UInt8](repeating: 0, count: data))
  }

  @Test(arguments: [
    (
      #"{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 7,
      "the header describes 8 bytes of elements and the file has 7"
    ),
    (
      #"{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 9,
      "the header describes 8 bytes of elements and the file has 9"
    ),
    (
      #"{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4,
      "tensor x: bytes 0..<4 do not fit a shape of 8 bytes"
    ),
    (
      #"{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, 4,
      "tensor x: bytes 4..<0 are no range"
    ),
    (
      #"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"y":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}"#,
      6,
      "tensor y begins at byte 2 and the one before ends at 4"
    ),
    (
      #"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"y":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#,
      12,
      "tensor y begins at byte 8 and the one before ends at 4"
    ),
    (
      #"{"x":{"dtype":"F16","shape":[3],"data_offsets":[0,4]}}"#, 4,
      "tensor x: bytes 0..<4 do not fit a shape of 6 bytes"
    ),
    (#"{"x\u0000":1}"#, 0, "a tensor's name holds U+0000, which is not read"),
    (
      #"{"x":{"dtype":"F32","shape":[9223372036854775807],"data_offsets":[0,4]}}"#, 4,
      "tensor x: its size overflows"
    ),
    (
      #"{"x":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}}"#, 4,
      "tensor x: axes must be integers"
    ),
    (
      #"{"x":{"dtype":"F32","shape":[1]}}"#, 4,
      "tensor x: dtype, shape and two data_offsets are required"
    ),
    (#"{"x":1}"#, 0, "tensor x: dtype, shape and two data_offsets are required"),
    (#"{"__metadata__":{"a":1}}"#, 0, "__metadata__ must hold strings, and a is none"),
    (#"{"__metadata__":[]}"#, 0, "__metadata__ must be an object"),
    ("[]", 0, "the header must be an object"),
    (#"{"a":{},"a":{}}"#, 0, "the header is not valid at byte 11: the name a stands twice"),
    (
      "", 0,
      "the header is not valid at byte 0: an object, an array, a string or an integer from 0 is expected"
    ),
    ("{} x", 0, "the header is not valid at byte 3: nothing may follow the value"),
  ])
  func malformedFileIsRefused(_ header: String, data: Int, rule: String) {
    let path = file(header, data: data)
    #expect(errorText { _ = try Checkpoint.load(path) } == "[load] \(path): \(rule)")
  }

  @Test func otherTypesAreConvertedOrListed() throws {
    let path = file(
      #"{"h":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},"q":{"dtype":"F4","shape":[4],"data_offsets":[2,4]},"b":{"dtype":"BOOL","shape":[1],"data_offsets":[4,5]}}"#,
      data: 5)
    let content = try Checkpoint.load(path)
    #expect(content.tensors.map(\.name) == ["h", "b"])
    #expect(content.tensors.map(\.tensor.dtype) == [.float32, .int32])
    #expect(content.unread.map(\.name) == ["q"])
    #expect(content.unread.map(\.reason) == ["dtype F4 is not read"])
  }

  @Test func textsAreComparedByBytes() throws {
    let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}")
    #expect(composed == decomposed)
    let (x, y) = (try Tensor([1], shape: [1]), try Tensor([2], shape: [1]))
    try Checkpoint.save(
      [(composed, x), (decomposed, y)], metadata: [composed: "1", decomposed: "2"], to: path)
    let content = try Checkpoint.load(path)
    #expect(
      content.tensors.map { Array($0.name.utf8) } == [composed, decomposed].map { Array($0.utf8) })
    #expect(content.metadata[composed] == "1" && content.metadata[decomposed] == "2")
    #expect(Metadata(dictionaryLiteral: (composed, "1")) != [decomposed: "1"])
  }

  @Test func textsWithNullCannotBeSaved() throws {
    let x = try Tensor([1], shape: [1])
    #expect(errorText { try Checkpoint.save([("a\0", x)], to: path) }.contains("U+0000"))
    #expect(
      errorText { try Checkpoint.save([], metadata: ["a": "\0"], to: path) }.contains("U+0000"))
    #expect(directory.names.isEmpty)
  }

  @Test func truncatedFileIsRefused() throws {
    let short = directory.write([1, 2, 3])
    #expect(
      errorText { _ = try Checkpoint.load(short) }
        == "[load] \(short): 3 bytes are too few for a header")
    for length in [3, UInt64.max] {
      let path = file("{}", length: length)
      #expect(
        errorText { _ = try Checkpoint.load(path) }
          == "[load] \(path): a header of \(length) bytes does not fit into a file of 10 bytes")
    }
  }
}

@Suite struct JSONTests {
  @Test(arguments: [
    #"{"a""#, #"{"a":}"#, #"{"a":1,}"#, "[1,]", "[1 2]", "01", "-1", "1.5", "1e3", "true", "null",
    "'a'",
    #""a"#, #""\x""#, #""\u12""#, #""\ud800""#, #""\ud800\u0041""#, #""\udc00""#, "\"\u{1}\"",
    "99999999999999999999", "[[[[[[[[[1]]]]]]]]]", "{1:2}",
  ])
  func otherTextsAreRefused(_ text: String) {
    #expect(throws: JSONError.self) { try JSON(parsing: Array(text.utf8)) }
  }

  @Test func invalidUTF8IsRefused() {
    #expect(throws: JSONError.self) { try JSON(parsing: [0x22, 0xFF, 0x22]) }
  }

  @Test func writtenTextReadsBack() throws {
    let value = JSON.object([
      .init(
        name: "quo\"te\\ \u{1} \u{1F600}", value: .array([.integer(0), .string(""), .array([])])),
      .init(name: "", value: .object([])),
    ])
    #expect(try JSON(parsing: Array(value.description.utf8)) == value)
  }
}
