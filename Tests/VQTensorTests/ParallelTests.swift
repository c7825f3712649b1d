import Foundation
import Testing
import VQKernels
import VQTesting

@Suite(.serialized) struct ParallelTests {
  /// How often a loop over `0..<count` came to each index; `pause` is called at each.
  private func visits(_ count: Int, grain: Int, _ pause: (Int) -> Void = { _ in }) -> [Int] {
    var visits = [Int](repeating: 0, count: count)
    visits.withUnsafeMutableBufferPointer { visits in
      nonisolated(unsafe) let visits = visits
      parallelFor(count, grain: grain) { range in
        for index in range {
          visits[index] += 1
          pause(index)
        }
      }
    }
    return visits
  }

  @Test(arguments: [1, 2, 3, 7])
  func everyIndexOnce(threads: Int) {
    withThreads(threads) {
      for count in [0, 1, 2, 5, 64, 1000] {
        #expect(visits(count, grain: 3).allSatisfy { $0 == 1 })
      }
    }
  }

  /// Helpers that have fallen asleep, that still spin, and that come too late.
  @Test func manyShortLoops() {
    withThreads(3) {
      for round in 0..<3000 {
        #expect(visits(4, grain: 1).allSatisfy { $0 == 1 })
        if round % 100 == 0 { usleep(2000) }
        if round % 7 == 0 { usleep(110) }
      }
    }
  }

  /// The caller waits for whoever still works.
  @Test func returnsAfterTheLastIndex() {
    withThreads(2) {
      for slow in 0..<4 {
        let found = visits(4, grain: 1) { if $0 == slow { usleep(3000) } }
        #expect(found == [1, 1, 1, 1])
      }
    }
  }

  /// Where a loop of a test beside this one has the team, a loop runs on its caller alone, and one
  /// within it may find the team free.
  @Test func loopsWithinLoopsStayOnTheirThread() {
    let threads = UnsafeMutableBufferPointer<Int>.allocate(capacity: 8)
    defer { threads.deallocate() }
    let deadline = Date() + 60
    withThreads(2) {
      repeat {
        let found = visits(8, grain: 1) { index in
          threads[index] = threadCount
          #expect(visits(10, grain: 2).allSatisfy { $0 == 1 })
        }
        #expect(found.allSatisfy { $0 == 1 })
      } while threads.contains { $0 != 1 } && Date() < deadline
    }
    #expect(threads.allSatisfy { $0 == 1 })
  }

  @Test func callersAtTheSameTime() {
    withThreads(3) {
      DispatchQueue.concurrentPerform(iterations: 6) { _ in
        for _ in 0..<500 { #expect(visits(20, grain: 2).allSatisfy { $0 == 1 }) }
      }
    }
  }
}
