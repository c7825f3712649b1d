import VQKernels

/// Convolutions of several groups as that of one group after the other.
extension ConvolutionGeometry {
  private var ofOneGroup: ConvolutionGeometry {
    var one = self
    one.groups = 1
    one.outChannels /= groups
    one.window.channels /= groups
    return one
  }

  /// The part of `tensor` along `axis` that belongs to a group.
  private func part(_ group: Int, of tensor: Tensor, axis: Int) throws -> Tensor {
    let size = tensor.shape[axis] / groups
    return try tensor.detached().slice(axis: axis, from: group * size, to: (group + 1) * size)
  }

  private func join(axis: Int, _ body: (Int) throws -> Tensor) throws -> Tensor {
    try Tensor.concatenate((0..<groups).map(body), axis: axis)
  }

  /// What `body` makes of images `x`, or of their gradient, by the weight of a group.
  func imagesOfGroups(
    _ x: Tensor, _ weight: Tensor, bias: Tensor?,
    _ body: (ConvolutionGeometry, Tensor, Tensor, Tensor?) throws -> Tensor
  ) throws -> Tensor {
    if groups == 1 { return try body(self, x, weight, bias) }
    return try join(axis: 3) { group in
      try body(
        ofOneGroup, part(group, of: x, axis: 3), part(group, of: weight, axis: 0),
        bias.map { try part(group, of: $0, axis: 0) })
    }
  }

  /// What `body` makes of the images of a group and their gradient: its weight's.
  func weightsOfGroups(
    _ x: Tensor, _ gradient: Tensor,
    _ body: (ConvolutionGeometry, Tensor, Tensor) throws -> Tensor
  ) throws -> Tensor {
    if groups == 1 { return try body(self, x, gradient) }
    return try join(axis: 0) { group in
      try body(ofOneGroup, part(group, of: x, axis: 3), part(group, of: gradient, axis: 3))
    }
  }
}
