import CPlatform

/// A number for each pixel of images, with zeros around them so that each tile's are there.
struct WinogradGrid {
  let values: UnsafeMutablePointer<Float>
  /// Rows of an image's part and their length, borders included.
  let rows, columns: Int

  typealias Four = SIMD4<Float>

  @inline(__always)
  func row(_ image: Int, _ y: Int) -> UnsafeMutablePointer<Float> {
    values + (image * rows + y) * columns
  }

  @inline(__always)
  static func four(_ x: UnsafePointer<Float>) -> Four {
    UnsafeRawPointer(x).loadUnaligned(as: Four.self)
  }
}
