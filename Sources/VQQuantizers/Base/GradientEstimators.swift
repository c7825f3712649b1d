import VQKernels
import VQTensor

/// `zq` bit for bit, with the rotation trick's gradient to `z` (Fifty et al., "Restructuring Vector
/// Quantization with the Rotation Trick", 2024).
///
/// For each row e of `z` and q of `zq`, `dz = |q| / |e| (I - 2 w w^T + 2 q^ e^^T)^T g` with e^ and
/// q^ of unit length and `w = unit(e^ + q^)`, all detached: the map turns e into q. Lengths that
/// divide are at least 1e-6. Where e or q is zero, or e^ = -q^, it is g. The gradient of `zq` is g.
///
/// - Parameters:
///   - z, zq: [..., d] of one shape.
func rotated(from z: Tensor, to zq: Tensor) throws -> Tensor {
  let operation = "rotation_trick"
  let (n, d) = try rows(operation, z, zq)
  let (savedZ, savedZq) = (
    Saved(z, where: z.requiresGrad), Saved(zq, where: z.requiresGrad)
  )
  return zq.recorded(operation, inputs: [z, zq]) { gradient, needs in
    guard let savedZ, let savedZq else { return [nil, gradient] }
    let (z, zq) = (try savedZ.tensor(operation), try savedZq.tensor(operation))
    let turned = try Tensor(operation, shape: z.shape) { out in
      gradient.read { gradient in
        z.read { z in
          zq.read { rotationPullback(gradient, z, $0, count: n, width: d, out) }
        }
      }
    }
    return [turned, needs[1] ? gradient : nil]
  }
}

/// `zq` bit for bit, whose gradient goes to `zq` and straight through to `z`.
func straightThrough(from z: Tensor, to zq: Tensor) throws -> Tensor {
  let operation = "straight_through"
  _ = try rows(operation, z, zq)
  return zq.recorded(operation, inputs: [z, zq]) { gradient, needs in
    [needs[0] ? gradient : nil, needs[1] ? gradient : nil]
  }
}

/// Directional reparametrization (DiVeQ): `z + |zq - z| sg(unit(zq - z + sqrt(v) n))`, n standard
/// normal.
///
/// With u = unit(zq - z) and s the detached direction, `dz = g - (g . s) u` and `dzq = (g . s) u`.
/// A row with zq = z is z, with the gradients g and 0.
///
/// - Parameters:
///   - z, zq: [..., d] of one shape.
///   - v: variance of the noise, at least 0; at 0 the value is `zq`.
///   - generator: gives one word an element, by position.
func directional(
  from z: Tensor, to zq: Tensor, variance v: Float, generator: Generator
) throws -> Tensor {
  let operation = "directional"
  let (n, d) = try rows(operation, z, zq)
  guard v >= 0, v.isFinite else {
    throw VQError.value(operation, "variance", "\(v)", "must be finite and at least 0")
  }
  let state = generator.words(n * d)
  func moving(_ z: UnsafePointer<Float>, _ zq: UnsafePointer<Float>) -> DirectionalRows {
    DirectionalRows(
      z, zq, count: n, width: d, deviation: Double(v).squareRoot(), state: state)
  }
  let result = try Tensor(operation, shape: z.shape) { out in
    z.read { z in zq.read { moving(z, $0).forward(out) } }
  }
  let (savedZ, savedZq) = (Saved(z), Saved(zq))
  return result.recorded(operation, inputs: [z, zq]) { gradient, needs in
    let (z, zq) = (try savedZ.tensor(operation), try savedZq.tensor(operation))
    let inZq = try Tensor(operation, shape: z.shape) { _ in }
    let inZ = try Tensor(operation, shape: z.shape) { inZ in
      inZq.mutate { inZq in
        gradient.read { gradient in
          z.read { z in zq.read { moving(z, $0).pullback(gradient, z: inZ, zq: inZq) } }
        }
      }
    }
    return [needs[0] ? inZ : nil, needs[1] ? inZq : nil]
  }
}

/// Rows and their width of two float32 tensors of one shape.
private func rows(_ operation: String, _ z: Tensor, _ zq: Tensor) throws -> (count: Int, width: Int)
{
  guard z.dtype == .float32, zq.dtype == .float32 else {
    throw VQError.type(operation, [z.dtype, zq.dtype], "float32 is required")
  }
  guard z.shape == zq.shape, let d = z.shape.last, d > 0 else {
    throw VQError.shape(
      operation, [z.shape, zq.shape], "z and zq of one shape [..., d], d at least 1, are required")
  }
  return (z.count / d, d)
}
