import CPlatform
import Glibc
import Testing
import VQKernels

@testable import VQQuantizers

/// Of a thread that is to be stopped, how often it may ask before.
private let asksLeft: pthread_key_t = {
  var key = pthread_key_t()
  pthread_key_create(&key, nil)
  return key
}()

// Of malloc.h, which the module Glibc leaves out.
@_silgen_name("mallopt") private func mallopt(_ parameter: Int32, _ value: Int32) -> Int32
private let perturb: Int32 = -6

private func isStopped() -> Bool {
  guard let left = pthread_getspecific(asksLeft)?.assumingMemoryBound(to: Int.self) else {
    return false
  }
  left.pointee -= 1
  return left.pointee < 0
}

/// A call that is stopped reads nothing that its loops have not written, whenever it asks.
@Suite(.serialized) struct StoppedLoopsTests {
  /// Calls `body`, stopped at its first question, its second and so on, until it ends whole.
  ///
  /// - Returns: how often it was stopped.
  private func stopEverywhere(_ body: () throws -> Void) throws -> Int {
    let left = UnsafeMutablePointer<Int>.allocate(capacity: 1)
    pthread_setspecific(asksLeft, left)
    vq_install_interrupt_check(isStopped)
    defer {
      vq_install_interrupt_check(nil)
      pthread_setspecific(asksLeft, nil)
      left.deallocate()
    }
    for stops in 0... {
      left.initialize(to: stops)
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

  private static let calls: [StoppedCall] =
    [
      StoppedCall("kmeans") { _ = try kmeans($0, k: 12, iterations: 2) },
      StoppedCall("kmeans, random") { _ = try kmeans($0, k: 12, iterations: 2, initial: .random) },
      StoppedCall("nearest") { _ = try nearestCodes($0, $0) },
      StoppedCall("nearest, ranked") { _ = try nearestCodes($0, $0, count: 3) },
      layer("vector") { try VectorQuant($0) },
      layer("vector, l2") {
        var options = $0
        options.norm = .l2
        options.replaceFrequency = 1
        return try VectorQuant(options)
      },
      layer("residual") { try ResidualVectorQuant($0, stages: 3) },
      layer("residual, shared") { try ResidualVectorQuant($0, stages: 3, isShared: true) },
      layer("groups") { try GroupVectorQuant($0, groups: 2) },
    ]
    + FamilyCase.all.map { family in
      StoppedCall(family.name) {
        let z = try $0.reshape([-1, family.width]).requiringGrad()
        let quantized = try family.quantize(try family.make(1), z, logVariance: z)
        try quantized.zq.sum().backward()
      }
    }

  private static func layer(
    _ name: String, _ make: @escaping @Sendable (VectorQuantOptions) throws -> Quantizer
  ) -> StoppedCall {
    StoppedCall(name) {
      var options = VectorQuantOptions(featureSize: 16, codeCount: 12)
      options.start = .kMeans
      let quantized = try make(options).quantize(try $0.requiringGrad())
      try (quantized.zq.sum() + quantized.loss).backward()
    }
  }

  @Test(arguments: calls) fileprivate func memoryThatHoldsNoCodes(call: StoppedCall) throws {
    // Memory is full of large numbers when it is taken, of small ones when it is given back.
    _ = mallopt(perturb, 0x95)
    defer { _ = mallopt(perturb, 0) }
    let x = try Generator(seed: 1).normal([90, 16])
    #expect(try stopEverywhere { try call.body(x) } > 0)
  }
}

private struct StoppedCall: CustomTestStringConvertible, Sendable {
  let name: String
  let body: @Sendable (_ x: Tensor) throws -> Void

  init(_ name: String, _ body: @escaping @Sendable (_ x: Tensor) throws -> Void) {
    (self.name, self.body) = (name, body)
  }

  var testDescription: String { name }
}
