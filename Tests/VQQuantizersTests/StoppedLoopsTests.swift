import CPlatform
import Glibc
import Testing
import VQKernels

@testable import VQQuantizers

/// The thread that is told to stop once it has asked `asksLeft` times more.
nonisolated(unsafe) private var stoppedThread: pthread_t?
nonisolated(unsafe) private var asksLeft = 0

private func isStopped() -> Bool {
  guard let stoppedThread, pthread_equal(stoppedThread, pthread_self()) != 0 else { return false }
  asksLeft -= 1
  return asksLeft < 0
}

/// A call that is stopped reads nothing that its loops have not written, whenever it asks.
@Suite(.serialized) struct StoppedLoopsTests {
  /// Calls `body`, stopped at its first question, its second and so on, until it ends whole.
  ///
  /// - Returns: how often it was stopped.
  private func stopEverywhere(_ body: () throws -> Void) throws -> Int {
    vq_install_interrupt_check(isStopped)
    stoppedThread = pthread_self()
    defer {
      stoppedThread = nil
      vq_install_interrupt_check(nil)
    }
    for stops in 0... {
      asksLeft = stops
      do {
        try body()
        return stops
      } catch VQError.interrupted {
        continue
      }
    }
    return 0
  }

  @Test func clusteringOverCodesThatAreNone() throws {
    let (n, d, k) = (300, 16, 24)
    let x = (0..<n * d).map { Float(($0 * 7919) % 1009) / 1009 }
    let stops = try stopEverywhere {
      var centroids = Array(x[..<(k * d)])
      var codes = [Int32](repeating: .max, count: n)
      let isWhole = stoppingLoops {
        _ = lloyd(x, count: n, width: d, &centroids, codes: k, iterations: 3, &codes)
      }
      guard isWhole else { throw VQError.interrupted("lloyd") }
      #expect(codes.allSatisfy { 0..<Int32(k) ~= $0 })
    }
    #expect(stops > 50)
  }
}
