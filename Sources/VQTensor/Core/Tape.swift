import CPlatform
import VQKernels

/// One recorded operation: where its inputs came from and how a gradient goes back to them.
///
/// A pullback holds the values that it reads (`Saved`) and nothing else. Whatever it holds, release
/// is iterative.
package final class Node {
  /// Gradient of the output and which inputs need one, to the gradients of the inputs.
  package typealias Pullback = (_ gradient: Tensor, _ needs: [Bool]) throws -> [Tensor?]

  let operation: String
  let leaf: Leaf?
  /// Where in its one input a part of it stands; the pullback gives the gradient of that part.
  let region: Region?
  var inputs: [Node?]
  var pullback: Pullback?
  var gradient: Tensor?
  private var claimed = vq_atomic(value: 0)

  init(
    _ operation: String, inputs: [Node?], region: Region? = nil, pullback: @escaping Pullback
  ) {
    self.operation = operation
    self.inputs = inputs
    self.region = region
    self.pullback = pullback
    leaf = nil
  }

  init(leaf: Leaf) {
    operation = "leaf"
    self.leaf = leaf
    region = nil
    inputs = []
  }

  /// Gives one backward the node alone; false when another has it.
  func claim() -> Bool { vq_atomic_try_take(&claimed) }
  func release() { vq_atomic_release(&claimed) }

  deinit {
    if !inputs.isEmpty || pullback != nil { Leavings.drop(self) }
  }
}

/// Elements of a tensor of shape `whole`: from `offset` on, by `strides`, none twice.
package struct Region {
  let whole: [Int]
  let offset: Int
  let strides: [Int]
}

/// Inputs and pullbacks of released nodes that wait on one thread to be dropped: what they release
/// in turn waits behind them, so that no release runs inside another.
private final class Leavings {
  private var waiting: [(inputs: [Node?], pullback: Node.Pullback?)] = []

  /// Drops what `node` holds, at once or after what this thread is dropping.
  static func drop(_ node: Node) {
    if let list = vq_dropping() {
      Unmanaged<Leavings>.fromOpaque(list).takeUnretainedValue().take(node)
      return
    }
    let list = Unmanaged.passRetained(Leavings())
    list.takeUnretainedValue().take(node)
    vq_set_dropping(list.toOpaque())
    while list.takeUnretainedValue().dropLast() {}
    vq_set_dropping(nil)
    list.release()
  }

  private func take(_ node: Node) {
    waiting.append((node.inputs, node.pullback))
    node.inputs = []
    node.pullback = nil
  }

  /// False where nothing waits.
  private func dropLast() -> Bool { waiting.popLast() != nil }
}

/// A value that a pullback needs later; reading it checks that nobody wrote it in between.
package struct Saved {
  private let value: Tensor
  private let version: Int

  package init(_ tensor: Tensor) {
    value = tensor.detached()
    version = tensor.storage.version
  }

  /// The same, where `isRead` says that the pullback reads it.
  package init?(_ tensor: Tensor, where isRead: Bool) {
    guard isRead else { return nil }
    self.init(tensor)
  }

  package func tensor(_ operation: String) throws -> Tensor {
    guard value.storage.version == version else {
      throw VQError.misuse(
        "backward",
        "a tensor that \(operation) saved, shape \(value.shape), was changed in place since the forward"
      )
    }
    return value
  }
}

extension Tensor {
  /// The result of an operation. With recording on and an input that requires a gradient,
  /// `pullback` goes on the tape; it is called with recording off.
  package static func recorded(
    _ operation: String, shape: [Int], storage: Storage, inputs: [Tensor],
    pullback: @escaping Node.Pullback
  ) -> Tensor {
    guard vq_gradients_enabled(), inputs.contains(where: \.requiresGrad) else {
      return Tensor(shape: shape, storage: storage)
    }
    return Tensor(
      shape: shape, storage: storage,
      node: Node(operation, inputs: inputs.map(\.tapeNode), pullback: pullback))
  }

  /// The same, for a result that already stands in a tensor of its own.
  package func recorded(
    _ operation: String, inputs: [Tensor], pullback: @escaping Node.Pullback
  ) -> Tensor {
    Tensor.recorded(operation, shape: shape, storage: storage, inputs: inputs, pullback: pullback)
  }

  /// The same, for a copy of the elements of `region` of `input`: its gradient is added there.
  func recorded(_ operation: String, partOf input: Tensor, at region: Region) -> Tensor {
    guard vq_gradients_enabled(), input.requiresGrad else { return self }
    let node = Node(operation, inputs: [input.tapeNode], region: region) { gradient, _ in
      [gradient]
    }
    return Tensor(shape: shape, storage: storage, node: node)
  }
}

/// Whether operators of the calling thread record gradients.
package var gradientsAreRecorded: Bool { vq_gradients_enabled() }

/// Runs `body` without recording on this thread.
public func withoutGradients<Result>(_ body: () throws -> Result) rethrows -> Result {
  let before = vq_gradients_enabled()
  vq_set_gradients_enabled(false)
  defer { vq_set_gradients_enabled(before) }
  return try body()
}

/// Runs `body` with recording on this thread, whatever its caller chose.
package func withGradients<Result>(_ body: () throws -> Result) rethrows -> Result {
  let before = vq_gradients_enabled()
  vq_set_gradients_enabled(true)
  defer { vq_set_gradients_enabled(before) }
  return try body()
}
