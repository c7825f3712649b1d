// swift-tools-version: 6.0
import PackageDescription

// By path: the kernels have compiler flags that a versioned dependency may not have.
let package = Package(
  name: "Waves",
  dependencies: [.package(name: "vqswift", path: "../..")],
  targets: [
    .executableTarget(name: "Waves", dependencies: [.product(name: "VQSwift", package: "vqswift")])
  ],
  swiftLanguageModes: [.v5]
)
