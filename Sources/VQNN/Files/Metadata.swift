/// Texts by name; names and texts are told apart by their bytes.
public struct Metadata: Equatable, ExpressibleByDictionaryLiteral {
  private var texts: [ExactString: ExactString] = [:]

  public init() {}

  public init(dictionaryLiteral pairs: (String, String)...) {
    for (name, text) in pairs { self[name] = text }
  }

  public subscript(name: String) -> String? {
    get { texts[ExactString(name)]?.text }
    set { texts[ExactString(name)] = newValue.map(ExactString.init) }
  }

  /// In the order of the names' bytes.
  public var pairs: [(name: String, text: String)] {
    texts.sorted { $0.key < $1.key }.map { ($0.key.text, $0.value.text) }
  }

  public var isEmpty: Bool { texts.isEmpty }
}
