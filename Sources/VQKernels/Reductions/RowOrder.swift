/// Slots that `orderRows` borrows of its scratch, and the 64-bit keys of each.
public func orderScratch(rows: Int, columns: Int, count: Int) -> (slots: Int, keys: Int) {
  (min(max(rows, 1), threadCount), 2 * kept(columns, count))
}

/// Keys that a row keeps before it drops all but the first `count`.
private func kept(_ columns: Int, _ count: Int) -> Int {
  count > columns / 2 ? columns : min(columns, max(2 * count, 64))
}

/// The positions of the `count` first elements of each row of `x` [rows, columns] in ascending or
/// descending order, to `out` [rows, count]; of equal ones the first in the row comes first. NaN is
/// greater than every number, and 0 equals -0.
///
/// - Parameters:
///   - x: the bits of float32 elements where `areFloats` says so, else int32.
///   - columns: at most 2^31 - 1.
///   - scratch: [slots, keys] words of 8 bytes.
public func orderRows(
  _ x: UnsafePointer<Int32>, areFloats: Bool, descending: Bool,
  _ out: UnsafeMutablePointer<Int32>, rows: Int, columns: Int, count: Int,
  scratch: UnsafeMutablePointer<Float>, slots: Int
) {
  if count == 0 { return }
  let room = kept(columns, count)
  let lanes = ScratchSlots(scratch, count: slots, stride: 4 * room)
  parallelFor(rows, grain: max(1, elementGrain / columns)) { range, stop in
    for row in range {
      lanes.borrow { scratch in
        scratch.withMemoryRebound(to: UInt64.self, capacity: 2 * room) { keys in
          let source = x + row * columns
          @inline(__always)
          func order(_ key: (Int) -> UInt32) {
            orderRow(columns, descending, keys, room: room, count: count, stop, key)
          }
          if areFloats {
            order { floatKey(source[$0]) }
          } else {
            order { UInt32(bitPattern: source[$0]) ^ 1 << 31 }
          }
          let target = out + row * count
          for i in 0..<count { target[i] = Int32(truncatingIfNeeded: keys[i]) }
        }
      }
    }
  }
}

/// Float32 bits as an unsigned number of the same order.
@inline(__always)
private func floatKey(_ bits: Int32) -> UInt32 {
  let magnitude = UInt32(bitPattern: bits) & 0x7fff_ffff
  if magnitude > 0x7f80_0000 { return .max }
  return bits < 0 ? 1 << 31 - magnitude : 1 << 31 + magnitude
}

/// Leaves the `count` first keys of a row, sorted: an element's order above its position, so that
/// no two are equal. `keys` holds 2 `room`.
@inline(__always)
private func orderRow(
  _ columns: Int, _ descending: Bool, _ keys: UnsafeMutablePointer<UInt64>, room: Int, count: Int,
  _ stop: LoopStop, _ key: (Int) -> UInt32
) {
  let flip: UInt32 = descending ? .max : 0
  var (used, bound) = (0, UInt64.max)
  for i in 0..<columns {
    if i & 0xf_ffff == 0xf_ffff && stop.isRequested { return }
    let next = UInt64(key(i) ^ flip) << 32 | UInt64(i)
    if next > bound { continue }
    if used == room {
      sortKeys(keys, keys + room, count: used, stop)
      (used, bound) = (count, keys[count - 1])
      if next > bound { continue }
    }
    keys[used] = next
    used += 1
  }
  sortKeys(keys, keys + room, count: used, stop)
}

/// Sorts keys whose lower halves ascend among equal upper halves.
private func sortKeys(
  _ keys: UnsafeMutablePointer<UInt64>, _ spare: UnsafeMutablePointer<UInt64>, count: Int,
  _ stop: LoopStop
) {
  if count < 512 {
    var row = UnsafeMutableBufferPointer(start: keys, count: count)
    row.sort()
    return
  }
  // Digits of 11 bits from the lowest on; each pass keeps the order of equal digits.
  let (bits, size) = (11, 1 << 11)
  withUnsafeTemporaryAllocation(of: Int.self, capacity: size) { starts in
    var (from, to) = (keys, spare)
    for shift in [32, 32 + bits, 32 + 2 * bits] {
      if count > 1 << 18 && stop.isRequested { return }
      starts.initialize(repeating: 0)
      for i in 0..<count { starts[Int(truncatingIfNeeded: from[i] >> shift) & (size - 1)] += 1 }
      var start = 0
      for digit in 0..<size { (starts[digit], start) = (start, start + starts[digit]) }
      for i in 0..<count {
        let digit = Int(truncatingIfNeeded: from[i] >> shift) & (size - 1)
        to[starts[digit]] = from[i]
        starts[digit] += 1
      }
      swap(&from, &to)
    }
    if from != keys { keys.update(from: from, count: count) }
  }
}
