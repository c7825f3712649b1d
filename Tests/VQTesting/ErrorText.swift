/// The text of the error that `body` throws; empty when it throws none.
public func errorText<Result>(_ body: () throws -> Result) -> String {
  do {
    _ = try body()
    return ""
  } catch { return "\(error)" }
}
