/// A text that equals another where every byte does; Swift's `String` takes a composed letter and a
/// letter with its accent for equal.
package struct ExactString: Hashable, Comparable {
  private let bytes: [UInt8]

  package init(_ text: String) { bytes = Array(text.utf8) }

  package var text: String { String(decoding: bytes, as: UTF8.self) }

  package static func < (a: ExactString, b: ExactString) -> Bool {
    a.bytes.lexicographicallyPrecedes(b.bytes)
  }
}
