@testable import VQQuantizers

/// The storage of every tensor that `value` and its stored properties hold, through all their
/// types.
func storedTensors(in value: Any) -> Set<ObjectIdentifier> {
  if let tensor = value as? Tensor { return [ObjectIdentifier(tensor.storage)] }
  let levels = sequence(first: Mirror(reflecting: value), next: \.superclassMirror)
  return levels.flatMap(\.children).reduce(into: []) { $0.formUnion(storedTensors(in: $1.value)) }
}
