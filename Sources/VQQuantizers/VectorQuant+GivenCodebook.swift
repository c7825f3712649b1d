import VQKernels
import VQNN
import VQTensor

/// What follows from a codebook that the caller gives, by assignment or as part of a state.
extension VectorQuant {
  /// Goes on as a layer that begins with the codebook as it is now: rows that are not those of `before` have no
  /// statistics, counters and gradients of their own past, and k-means does not take their place. When no row
  /// is left of `before`, phases and running moments begin anew too.
  ///
  /// - Parameter names: state that came with the codebook, and stays.
  func begin(after before: Tensor, with names: Set<String>) {
    let rows = codebook.rows(differingFrom: before)
    let isNew = rows.count == codeCount
    func set(_ name: String, _ value: Int32, _ tensor: Tensor?) {
      guard let tensor, !names.contains(name) else { return }
      tensor.mutateCodes { $0[0] = value }
    }
    set("initialized", 1, initialized)
    set("kmeans_phase", 0, kMeansPhase)
    if isNew { set("inner_phase", 0, innerPhase) }
    if !names.contains("unused_steps") {
      unusedSteps.mutateCodes { steps in for row in rows { steps[row] = 0 } }
    }
    if !names.contains("codebook_gradient") {
      if isNew { codebook.grad = nil } else { forgetGradient(of: rows) }
    }
    if let statistics, !names.isSuperset(of: ["ema_counts", "ema_sums"]) {
      let ones = [Float](repeating: 1, count: rows.count)
      statistics.restart(rows, weights: names.contains("ema_counts") ? nil : ones, from: codebook)
    }
    if isNew, !names.contains("affine_started") { moments?.restart() }
  }
}
