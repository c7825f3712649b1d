import CPlatform
import VQKernels

extension Tensor {
  /// Adds the gradient of this tensor to `grad` of every leaf that it depends on.
  ///
  /// - Parameters:
  ///   - seed: gradient of this tensor, its shape; 1 for a tensor of one element.
  ///   - retainGraph: keeps the tape for another backward.
  ///   - leaves, done: called with the place of each of `leaves` as soon as it has its gradient,
  ///     all of it; not for one that this tensor does not depend on.
  public func backward(
    _ seed: Tensor? = nil, retainGraph: Bool = false, leaves: [Tensor] = [],
    done: (Int) throws -> Void = { _ in }
  ) throws {
    guard let root = tapeNode else {
      throw VQError.misuse("backward", "the tensor does not depend on any that requires a gradient")
    }
    let seed = try checkedSeed(seed, "backward")
    var places: [ObjectIdentifier: Int] = [:]
    for (place, leaf) in leaves.enumerated() {
      if let node = leaf.tapeNode { places[ObjectIdentifier(node)] = place }
    }
    try withoutGradients {
      _ = try BackwardPass(from: root).run(seed, retainGraph: retainGraph) { node in
        if let place = places[ObjectIdentifier(node)] { try done(place) }
      }
    }
  }

  /// The gradients of this tensor with respect to `inputs`, zeros for those that it does not depend
  /// on; `grad` of no leaf changes.
  ///
  /// - Parameters:
  ///   - inputs: leaves or computed tensors that require a gradient.
  ///   - seed, retainGraph: as for `backward`.
  public func gradients(
    of inputs: [Tensor], _ seed: Tensor? = nil, retainGraph: Bool = false
  ) throws -> [Tensor] {
    let nodes = try inputs.enumerated().map { index, input in
      guard let node = input.tapeNode else {
        throw VQError.value(
          "gradients", "inputs[\(index)]", "a tensor of shape \(input.shape)",
          "it must require a gradient")
      }
      return node
    }
    let found = try gradients(at: nodes, seed, retainGraph: retainGraph)
    return try zip(inputs, nodes).map { try found[ObjectIdentifier($1)] ?? Tensor.zeros($0.shape) }
  }

  /// The gradients at nodes behind this tensor, without those that it does not depend on.
  func gradients(
    at nodes: [Node], _ seed: Tensor?, retainGraph: Bool = false
  ) throws -> [ObjectIdentifier: Tensor] {
    let seed = try checkedSeed(seed, "gradients")
    guard let root = tapeNode else { return [:] }
    return try withoutGradients {
      try BackwardPass(from: root, to: Set(nodes.map(ObjectIdentifier.init)))
        .run(seed, retainGraph: retainGraph)
    }
  }

  /// The leaves behind this tensor.
  var tapeLeaves: [Node] {
    tapeNode.map { BackwardPass.reverseTopologicalOrder($0).filter { $0.leaf != nil } } ?? []
  }

  private func checkedSeed(_ seed: Tensor?, _ operation: String) throws -> Tensor {
    if let seed, seed.dtype != .float32 {
      throw VQError.type(operation, [seed.dtype], "the gradient must be float32")
    }
    if let seed, seed.shape != shape {
      throw VQError.shape(
        operation, [seed.shape, shape], "the gradient must have the tensor's shape")
    }
    guard seed != nil || count == 1 else {
      throw VQError.shape(
        operation, [shape], "a gradient must be given unless there is one element")
    }
    return try seed?.detached() ?? Tensor.full(shape, 1)
  }
}

/// A way back along the tape, every node before its inputs.
struct BackwardPass {
  private let order: [Node]
  /// The nodes whose gradients are wanted; nil where all leaves collect theirs.
  private let targets: Set<ObjectIdentifier>?
  /// The nodes from which gradients get to a target.
  private var reaching: Set<ObjectIdentifier> = []

  init(from root: Node, to targets: Set<ObjectIdentifier>? = nil) {
    order = BackwardPass.reverseTopologicalOrder(root)
    self.targets = targets
    guard let targets else { return }
    for node in order.reversed() {
      let isOnTheWay = node.inputs.contains { input in
        input.map { reaching.contains(ObjectIdentifier($0)) } ?? false
      }
      if isOnTheWay || targets.contains(ObjectIdentifier(node)) {
        reaching.insert(ObjectIdentifier(node))
      }
    }
  }

  /// Passes `seed` back from the root; the gradients of the targets. `collected` is called with
  /// each leaf that has got its gradient.
  func run(
    _ seed: Tensor, retainGraph: Bool, collected: (Node) throws -> Void = { _ in }
  ) throws -> [ObjectIdentifier: Tensor] {
    try claim()
    defer {
      for node in order where node.leaf == nil {
        node.gradient = nil
        node.release()
      }
    }
    var found: [ObjectIdentifier: Tensor] = [:]
    // A leaf is no pass's own: those of other threads may reach it too.
    var ofLeaves: [ObjectIdentifier: Tensor] = [:]
    if let root = order.first { try add(seed, nil, to: root, &ofLeaves) }
    for node in order {
      guard let gradient = taken(from: node, &ofLeaves) else { continue }
      if let targets {
        if targets.contains(ObjectIdentifier(node)) { found[ObjectIdentifier(node)] = gradient }
        // What lies behind a freed node is not known.
        let mayReachMore =
          node.leaf == nil && node.pullback == nil && found.count < targets.count
        guard mayReachMore || node.inputs.contains(where: isNeeded) else { continue }
      }
      if let leaf = node.leaf {
        try BackwardPass.collect(gradient, leaf)
        try collected(node)
        continue
      }
      guard let pullback = node.pullback else {
        throw VQError.misuse(
          "backward",
          "the tape of \(node.operation) was freed by an earlier backward; pass retain_graph")
      }
      let needs = node.inputs.map(isNeeded)
      let results = try pullback(gradient, needs)
      for (index, result) in results.enumerated() where needs[index] {
        guard let input = node.inputs[index], let result else { continue }
        try add(result, node.region, to: input, &ofLeaves)
      }
      if !retainGraph {
        node.pullback = nil
        node.inputs = []
      }
    }
    return found
  }

  /// Adds to the gradient that waits for a node, or to a region of it.
  private func add(
    _ gradient: Tensor, _ region: Region?, to node: Node,
    _ ofLeaves: inout [ObjectIdentifier: Tensor]
  ) throws {
    if node.leaf == nil {
      try BackwardPass.accumulate(gradient, region, into: &node.gradient)
    } else {
      try BackwardPass.accumulate(gradient, region, into: &ofLeaves[ObjectIdentifier(node)])
    }
  }

  /// The gradient that waits for a node, which gives it up.
  private func taken(
    from node: Node, _ ofLeaves: inout [ObjectIdentifier: Tensor]
  ) -> Tensor? {
    guard node.leaf == nil else { return ofLeaves.removeValue(forKey: ObjectIdentifier(node)) }
    defer { node.gradient = nil }
    return node.gradient
  }

  private func isNeeded(_ input: Node?) -> Bool {
    guard let input else { return false }
    return targets == nil || reaching.contains(ObjectIdentifier(input))
  }

  /// Claims every computed node, or none and throws.
  private func claim() throws {
    guard let taken = order.firstIndex(where: { $0.leaf == nil && !$0.claim() }) else { return }
    for node in order[..<taken] where node.leaf == nil { node.release() }
    throw VQError.misuse(
      "backward",
      "another thread runs backward through \(order[taken].operation): one graph, one thread at a time"
    )
  }

  /// Adds to what a leaf has; graphs of several threads may share it.
  private static func collect(_ gradient: Tensor, _ leaf: Leaf) throws {
    var rest: Tensor? = gradient
    while let addend = rest {
      var sum = leaf.exchange(nil)
      try accumulate(addend, into: &sum)
      // What another thread has left there meanwhile.
      rest = leaf.exchange(sum)
    }
  }

  /// Adds to a region of a gradient, or to all of it.
  private static func accumulate(
    _ addend: Tensor, _ region: Region?, into gradient: inout Tensor?
  ) throws {
    guard let region else {
      try accumulate(addend, into: &gradient)
      return
    }
    var sum = try gradient ?? Tensor.zeros(region.whole)
    gradient = nil
    if !(isKnownUniquelyReferenced(&sum) && isKnownUniquelyReferenced(&sum.storage)) {
      let whole = sum
      sum = try Tensor("backward", .float32, shape: whole.shape) { out in
        out.update(from: whole.storage.floats, count: whole.count)
      }
    }
    stridedAccumulate(
      addend.storage.floats, strides: Shape.strides(addend.shape),
      sum.storage.floats + region.offset, outStrides: region.strides, shape: addend.shape)
    gradient = sum
  }

  /// Adds to a gradient: in place where nothing else refers to its elements.
  private static func accumulate(_ addend: Tensor, into gradient: inout Tensor?) throws {
    guard var sum = gradient else {
      gradient = addend
      return
    }
    gradient = nil
    if isKnownUniquelyReferenced(&sum), isKnownUniquelyReferenced(&sum.storage) {
      VQKernels.accumulate(addend.storage.floats, into: sum.storage.floats, count: sum.count)
      gradient = sum
    } else {
      gradient = try sum + addend
    }
  }

  /// Every node that gradients of `root` may reach, before its inputs.
  static func reverseTopologicalOrder(_ root: Node) -> [Node] {
    var order: [Node] = []
    var seen: Set<ObjectIdentifier> = [ObjectIdentifier(root)]
    var stack: [(node: Node, next: Int)] = [(root, 0)]
    while let (node, next) = stack.last {
      if next == node.inputs.count {
        order.append(node)
        stack.removeLast()
        continue
      }
      stack[stack.count - 1].next += 1
      if let input = node.inputs[next], seen.insert(ObjectIdentifier(input)).inserted {
        stack.append((input, 0))
      }
    }
    return order.reversed()
  }
}
