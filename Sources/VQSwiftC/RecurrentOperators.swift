import CVQSwift
import VQTensor

private func recurrentCell(_ name: Text?) throws -> RecurrentCell {
  let given = try string(name)
  guard let cell = RecurrentCell(rawValue: given) else {
    throw VQError.value(
      "recurrence", "cell", "'\(given)'",
      "it must be one of \(RecurrentCell.allCases.map(\.rawValue))")
  }
  return cell
}

@_cdecl("vq_tensor_recurrence") @implementation
public func vq_tensor_recurrence(
  _ cell: Text!, _ x: Handle!, _ h: Handle!, _ c: Handle!, _ inputWeight: Handle!,
  _ hiddenWeight: Handle!, _ inputBias: Handle!, _ hiddenBias: Handle!, _ reversed: Bool,
  _ out: Out!, _ lastCell: Out!
) -> vq_status {
  out?.pointee = nil
  lastCell?.pointee = nil
  return catching {
    let out = try target(out)
    let parameters = RecurrentParameters(
      input: try tensor(inputWeight), hidden: try tensor(hiddenWeight),
      inputBias: try optionalTensor(inputBias), hiddenBias: try optionalTensor(hiddenBias))
    let made = try tensor(x).recurrence(
      recurrentCell(cell), h: tensor(h), c: optionalTensor(c), parameters, reversed: reversed)
    out.pointee = handle(made.states)
    if let last = made.cell, let lastCell { lastCell.pointee = handle(last) }
  }
}
