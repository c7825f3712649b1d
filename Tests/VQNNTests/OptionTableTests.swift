import Testing
import VQNN
import VQTensor

private struct Colors {
  enum Shade: String, OptionChoice {
    case light, dark
    var optionName: String { rawValue }
  }
  var count = 3
  var rate: Float = 0.1
  var isOn = false
  var shade = Shade.light
  var seed: UInt64 = 7
  var limit: Int?
  var sizes: [Int] = []
  var window = (1, 2)

  static let table = OptionTable(Colors()) {
    Option("count", \.count, .atLeast(1), isRequired: true)
    Option("rate", \.rate, .fraction)
    Option("is_on", \.isOn)
    Option("shade", \.shade)
    Option("seed", \.seed)
    Option("limit", \.limit)
    Option("sizes", \.sizes)
    Option.pair("window", \.window, atLeast: 1)
  } agree: { options, operation in
    if options.isOn && options.rate == 0 {
      throw VQError.value(operation, "rate", "0.0", "must be above 0 where is_on")
    }
  }
}

@Suite struct OptionTableTests {
  private func read(_ given: (String, OptionValue)...) throws -> Colors {
    let options = try Colors.table.read(
      [("count", .integer(5))] + given.map { (name: $0.0, value: $0.1) }, "colors")
    try Colors.table.check(options, "colors")
    return options
  }

  private func text(_ given: (String, OptionValue)...) -> String {
    do {
      let options = try Colors.table.read(given.map { (name: $0.0, value: $0.1) }, "colors")
      try Colors.table.check(options, "colors")
      return "nothing"
    } catch { return "\(error)" }
  }

  @Test func optionsThatAreNotGivenStayAtTheStart() throws {
    let options = try read()
    #expect(options.count == 5 && options.rate == 0.1 && !options.isOn && options.seed == 7)
    #expect(options.shade == .light && options.limit == nil && options.window == (1, 2))
  }

  @Test func everyFormIsRead() throws {
    let options = try read(
      ("rate", .number(0.5)), ("is_on", .boolean(true)), ("shade", .text("dark")),
      ("seed", .word(.max)), ("limit", .integer(-4)), ("sizes", .integers([2, 3])),
      ("window", .integers([4, 1])))
    #expect(options.rate == 0.5 && options.isOn && options.shade == .dark)
    #expect(options.seed == .max && options.limit == -4 && options.sizes == [2, 3])
    #expect(options.window == (4, 1))
    #expect(try read(("rate", .integer(1))).rate == 1)
  }

  @Test func wrongOptionsAreNamed() {
    let count = ("count", OptionValue.integer(5))
    #expect(
      text(count, ("shadow", .text("dark")))
        == "[colors] unknown option 'shadow': did you mean 'shade'? the known are ['count', "
        + "'rate', 'is_on', 'shade', 'seed', 'limit', 'sizes', 'window']")
    #expect(text() == "[colors] the option count is required")
    #expect(text(count, count) == "[colors] the option count is given twice")
    #expect(text(("count", .integer(0))) == "[colors] count = 0: must be at least 1")
    #expect(text(("count", .number(1))) == "[colors] count is 1.0: an integer is required")
    #expect(text(("count", .word(.max))) == "[colors] count = \(UInt64.max): must fit in int64")
    #expect(text(count, ("seed", .integer(-1))) == "[colors] seed = -1: must be at least 0")
    #expect(text(count, ("rate", .number(1.5))) == "[colors] rate = 1.5: must be in 0...1")
    #expect(text(count, ("rate", .number(.nan))) == "[colors] rate = nan: must be in 0...1")
    #expect(text(count, ("rate", .text("x"))) == "[colors] rate is 'x': a number is required")
    #expect(
      text(count, ("shade", .text("gray")))
        == "[colors] shade = 'gray': it must be one of ['light', 'dark']")
    #expect(text(count, ("shade", .integer(1))) == "[colors] shade is 1: a string is required")
    #expect(
      text(count, ("window", .integers([1])))
        == "[colors] window is [1]: a pair (height, width) is required")
    #expect(
      text(count, ("window", .integers([0, 1])))
        == "[colors] window = (0, 1): both must be at least 1")
    #expect(
      text(count, ("rate", .number(0)), ("is_on", .boolean(true)))
        == "[colors] rate = 0.0: must be above 0 where is_on")
  }

  @Test func aTableGrows() throws {
    struct Palette {
      var colors = Colors()
      var name = 0
    }
    let table = Colors.table.extended(Palette(), at: \.colors) { Option("name", \.name) }
    #expect(table.rows.map(\.name) == Colors.table.rows.map(\.name) + ["name"])
    let palette = try table.read([("count", .integer(2)), ("name", .integer(9))], "palette")
    #expect(palette.colors.count == 2 && palette.name == 9)
    #expect(throws: VQError.self) {
      try table.check(Palette(colors: Colors(count: 0)), "palette")
    }
  }
}
