import CPlatform

/// The generators that the calling thread draws from while the log is open, each with its place
/// before its first draw, so that the draws can be repeated.
package final class DrawLog {
  /// Puts a generator back where it was; what it gives puts it where it is now.
  package typealias Rewind = () -> () -> Void

  private var rewinds: [Rewind] = []
  private var seen: Set<ObjectIdentifier> = []
  private let outer: DrawLog?

  init() { outer = DrawLog.current }

  /// That of the calling thread.
  package static var current: DrawLog? {
    vq_draw_log().map { Unmanaged<DrawLog>.fromOpaque($0).takeUnretainedValue() }
  }

  /// Notes that `source` is about to draw.
  package func note(_ source: AnyObject, _ rewind: @escaping Rewind) {
    outer?.note(source, rewind)
    if seen.insert(ObjectIdentifier(source)).inserted {
      rewinds.append {
        // The generator lives as long as its identity is known here.
        defer { withExtendedLifetime(source) {} }
        return rewind()
      }
    }
  }

  /// Runs `body` with the log open.
  func recording<Result>(_ body: () throws -> Result) rethrows -> Result {
    let before = vq_draw_log()
    vq_set_draw_log(Unmanaged.passUnretained(self).toOpaque())
    defer { vq_set_draw_log(before) }
    return try body()
  }

  /// Runs `body` with every generator where it was; then they are where they are now.
  func repeating<Result>(_ body: () throws -> Result) rethrows -> Result {
    let returns = rewinds.map { $0() }
    defer { for step in returns { step() } }
    return try body()
  }
}
