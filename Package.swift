// swift-tools-version: 6.2
import PackageDescription

#if canImport(Glibc)
  import Glibc
#endif

/// oneDNN is used when its header is installed; `VQSWIFT_ONEDNN=0` leaves it out.
let hasOneDNN: Bool = {
  if let choice = Context.environment["VQSWIFT_ONEDNN"], !choice.isEmpty { return choice != "0" }
  return access("/usr/include/oneapi/dnnl/dnnl.h", R_OK) == 0
}()

/// Warnings are errors where this is the package that is built.
let conditions: [SwiftSetting] = [.treatAllWarnings(as: .error)]
let tensorSettings = conditions + (hasOneDNN ? [.define("VQ_ONEDNN")] : [])

/// The loops over elements are optimized in debug builds too, so that tests train real networks.
/// Without errno a square root is an instruction, so that loops around it vectorise.
let kernelSettings: [SwiftSetting] =
  [.unsafeFlags(["-Ounchecked", "-Xcc", "-fno-math-errno"])] + conditions

/// The tile kernels once per instruction set; the CPU's own flags choose among them at run time.
let tileSets: [(name: String, cpu: String, conditions: [String])] = {
  #if arch(x86_64)
    [
      ("VQTilesAVX2", "haswell", ["VQ_AVX2"]),
      ("VQTilesAVX512", "skylake-avx512", ["VQ_AVX512"]),
      ("VQTilesVNNI", "cascadelake", ["VQ_AVX512", "VQ_VNNI"]),
      ("VQTilesBF16", "cooperlake", ["VQ_AVX512", "VQ_BF16"]),
    ]
  #else
    []
  #endif
}()

let tileTargets: [Target] =
  [.target(name: "VQTiles", dependencies: ["CPlatform"], swiftSettings: kernelSettings)]
  + tileSets.map { set in
    .target(
      name: set.name, dependencies: ["CPlatform"],
      swiftSettings: kernelSettings + [.unsafeFlags(["-target-cpu", set.cpu])]
        + set.conditions.map { .define($0) })
  }

/// `VQSWIFT_DOCC=1` brings the plugin of `scripts/build-swift-docs`; no other build knows it.
let docC: [Package.Dependency] =
  Context.environment["VQSWIFT_DOCC"] == "1"
  ? [.package(url: "https://github.com/swiftlang/swift-docc-plugin", exact: "1.5.0")] : []

let package = Package(
  name: "vqswift",
  products: [
    .library(
      name: "VQSwift",
      targets: [
        "VQSwift", "VQTensor", "VQNN", "VQQuantizers", "VQMetrics", "VQModels", "VQEstimators",
      ]),
    .library(name: "VQSwiftC", type: .static, targets: ["VQSwiftC"]),
  ],
  dependencies: docC,
  targets: [
    .systemLibrary(name: "COpenBLAS", providers: [.apt(["libopenblas-dev"])]),
    .systemLibrary(name: "COneDNN", providers: [.apt(["libdnnl-dev"])]),
    .target(
      name: "CPlatform", cSettings: [.unsafeFlags(["-O2"])],
      linkerSettings: [.linkedLibrary("gomp")]),
    .target(
      name: "VQKernels",
      dependencies: ["CPlatform", "COpenBLAS"] + tileTargets.map { .byName(name: $0.name) },
      swiftSettings: kernelSettings),
    .target(
      name: "VQTensor", dependencies: ["CPlatform", "COpenBLAS", "COneDNN", "VQKernels"],
      swiftSettings: tensorSettings),
    .target(
      name: "VQNN", dependencies: ["CPlatform", "VQTensor", "VQKernels"], swiftSettings: conditions),
    .target(
      name: "VQQuantizers", dependencies: ["VQNN", "VQTensor", "VQKernels"],
      swiftSettings: conditions),
    .target(
      name: "VQMetrics", dependencies: ["VQQuantizers", "VQTensor", "VQKernels"],
      swiftSettings: conditions),
    .target(name: "VQModels", dependencies: ["VQNN", "VQQuantizers"], swiftSettings: conditions),
    .target(
      name: "VQEstimators", dependencies: ["VQNN", "VQTensor", "VQKernels"],
      swiftSettings: conditions),
    .target(
      name: "VQSwift",
      dependencies: ["VQEstimators", "VQMetrics", "VQModels", "VQNN", "VQQuantizers", "VQTensor"]),
    .target(name: "CVQSwift"),
    .target(
      name: "VQSwiftC",
      dependencies: ["CPlatform", "CVQSwift", "VQEstimators", "VQMetrics", "VQModels"],
      swiftSettings: conditions),
    .target(
      name: "VQTesting", dependencies: ["VQTensor"], path: "Tests/VQTesting",
      swiftSettings: [.unsafeFlags(["-O"])]),
    .testTarget(
      name: "VQTensorTests", dependencies: ["VQTensor", "VQTesting"],
      swiftSettings: tensorSettings),
    .testTarget(
      name: "VQNNTests", dependencies: ["VQNN", "VQTesting"], swiftSettings: conditions),
    .testTarget(
      name: "VQQuantizersTests", dependencies: ["VQMetrics", "VQQuantizers", "VQTesting"],
      swiftSettings: conditions),
    .testTarget(
      name: "VQModelsTests", dependencies: ["VQModels", "VQTesting"], swiftSettings: conditions),
    .testTarget(
      name: "VQEstimatorsTests", dependencies: ["VQEstimators", "VQTesting"],
      swiftSettings: conditions),
    .testTarget(name: "VQSwiftTests", dependencies: ["VQSwift"]),
    .testTarget(
      name: "VQSwiftCTests", dependencies: ["VQSwiftC", "CVQSwift", "VQTensor"],
      swiftSettings: conditions),
  ] + tileTargets,
  swiftLanguageModes: [.v5]
)
